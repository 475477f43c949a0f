// Help: what this is, how to ask, which keys there are.

import { h, put } from "./ui.js";

const KEYS = [["/", "search"], ["1 to 8", "the views in their order"], ["Arrow keys, Home, End", "move in a list"], ["Enter", "get what is marked; in transfers: show its parts"],
  ["Space", "show sources or parts"], ["p", "pause or resume"], ["m", "copy the magnet link"], ["b", "browse who has it"], ["t", "turtle: slow mode on or off"], ["?", "this page"]];
const QUERIES = [["blue train", "both words, in any order; case and accents do not matter"], ["\"blue train\"", "this phrase"], ["blue -live", "without a word"], ["blue|green", "one of them"],
  ["ext:flac", "files that end so"], ["type:audio", "audio, video, image, document, archive"], ["size:>10M", "larger than that; size:<1G smaller"], ["urn:sha1:…", "exactly this content"]];

export function view(main) {
  const rows = (pairs) => h("dl.pairs", pairs.map(([key, words]) => h("div", h("dt", h("kbd", key)), h("dd", words))));
  put(main, h("h1", "Help"), h("div.two",
    h("section.panel", h("h2", "What this is"),
      h("p", "filbert is one peer among equals. You share folders that you name; you ask your neighbours for files, they ask theirs; a file comes straight from who has it. There is no server and no account."),
      h("p", "Others can see your address, the words you search for, and the names of what you share. ", h("a", { href: "#/strangers" }, "Look at it as strangers do"), "."),
      h("p", "What is fetched is checked against its content name before it gets its place. Where a hit has no such name, only the size can be checked, and filbert says so.")),
    h("section.panel", h("h2", "How to ask"), rows(QUERIES)),
    h("section.panel", h("h2", "Keys"), rows(KEYS)),
    h("section.panel", h("h2", "When nothing is found"),
      h("ol", h("li", "Are there ", h("a", { href: "#/peers" }, "neighbours"), "? On the same network they find each other; from elsewhere you need one address."),
        h("li", "Fewer words find more. Filters hide hits too: the line above the list says how many."),
        h("li", h("a", { href: "#/settings" }, "Is all well?"), " says what is wrong with the port, the router or the shares, each with its fix.")),
      h("h2", "The same without this page"), h("p", "Everything here is in the command line too: ", h("code.whole", "filbert --help"), ". And in an API: ", h("a", { href: "/api/v1/openapi.json" }, "its OpenAPI document"), "."))));
}
