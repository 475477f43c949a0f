//! The list as a page for a plain browser: one table, no scripts, nothing from elsewhere.
//!
//! Names come from files and are text, never markup; directions of writing stay within their cell (`bdi`).

use std::fmt::Write;

use super::list::{Row, Totals};
use crate::base::size;
use crate::wire::Guid;
use crate::wire::Urn;
use crate::wire::http::{Target, percent_encode};

/// What comes behind the last row.
pub(super) const END: &str = "</tbody>\n</table>\n</main>\n</body>\n</html>\n";

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1d2126;--soft:#5b6570;--line:#dfe3e8;--paper:#fff;--band:#f6f7f9;--link:#0b57a4}
@media (prefers-color-scheme:dark){:root{--ink:#e4e7eb;--soft:#9aa4b0;--line:#2c333b;--paper:#15181c;--band:#1b2026;--link:#7db7f5}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto;padding:2rem 1rem 4rem}
h1{font-size:1.5rem;margin:0}
p{margin:.25rem 0 1.5rem;color:var(--soft)}
table{width:100%;border-collapse:collapse}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{padding:.45rem .6rem;text-align:start;border-bottom:1px solid var(--line);vertical-align:top}
thead th{position:sticky;top:0;background:var(--paper);font-size:.85rem;color:var(--soft)}
tbody th{font-weight:400;overflow-wrap:anywhere}
tbody tr:nth-child(even){background:var(--band)}
td.n,th.n{text-align:end;white-space:nowrap;font-variant-numeric:tabular-nums}
a{color:var(--link)}
a:focus-visible{outline:2px solid;outline-offset:2px}
";

/// What a browser may do with the page: use its style, follow its links.
pub(super) fn policy(nonce: Guid) -> String {
    format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// What comes before the first row.
pub(super) fn begin(agent: &str, nonce: Guid, totals: Totals) -> String {
    let Totals { files, bytes } = totals;
    let said = match files {
        0 => "Nothing is shared here now.".to_owned(),
        1 => format!("1 file, {}", size(bytes)),
        files => format!("{files} files, {}", size(bytes)),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>Shared files</title>\n\
         <style nonce=\"{nonce}\">{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Shared files</h1>\n\
         <p>{said} &middot; {}</p>\n<table>\n<caption>Shared files</caption>\n<thead>\n\
         <tr><th scope=\"col\">Name</th><th scope=\"col\" class=\"n\">Size</th><th scope=\"col\">Magnet</th></tr>\n\
         </thead>\n<tbody>\n",
        escaped(agent)
    )
}

/// Rows of the table.
pub(super) fn rows(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        let name = escaped(&row.name);
        let shown = if row.folder.is_empty() { name.clone() } else { format!("{}/{name}", escaped(&row.folder)) };
        let target = match &row.digests {
            Some(digests) => Target::ByUrn(Urn::Sha1(digests.sha1)),
            None => Target::ByIndex(row.index, row.name.clone()),
        };
        let magnet = row.digests.as_ref().map(|digests| {
            let (urn, dn) = (digests.urn(), percent_encode(row.name.as_bytes()));
            let to = format!("magnet:?xt={urn}&amp;xl={}&amp;dn={dn}", row.size);
            format!("<a href=\"{to}\" aria-label=\"Magnet link of {name}\">magnet</a>")
        });
        // Writing into a String cannot fail.
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><a href=\"{}\" download=\"{name}\"><bdi>{shown}</bdi></a></th>\
             <td class=\"n\"><data value=\"{}\">{}</data></td><td>{}</td></tr>",
            escaped(&target.to_string()),
            row.size,
            size(row.size),
            magnet.unwrap_or_default()
        );
    }
    out
}

/// Text as it stands in markup and in quoted attributes; control characters, which no page may hold, as a sign.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_to_a_browser_is_left() {
        assert_eq!(
            escaped("<a href='x'>\"&\u{1}\u{85}\n"),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\u{fffd}\u{fffd}\u{fffd}"
        );
    }
}
