// A long list of which only what is seen is in the page. Rows have one height; one at a time may be open below.

import { h, put } from "./ui.js";

const BEYOND = 8;

/**
 * `make(item)` makes a row; `update(row, item)` brings it up to date; `key(item)` tells rows apart;
 * `detail(item)` makes what an open row shows below it.
 */
export class List {
  constructor({ label, height, make, update, key, detail, onkey }) {
    Object.assign(this, { height, make, update, key, detail, onkey });
    this.items = [];
    this.rows = new Map();
    this.at = 0;
    this.opened = null;
    this.extra = 0;
    this.box = h("div.list-rows", { role: "list" });
    this.root = h("div.list", { role: "group", tabindex: "0", "aria-label": label }, this.box);
    this.root.owner = this;
    this.root.addEventListener("scroll", () => this.draw(), { passive: true });
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.root);
  }

  /** The row's height, which is larger where rows are cards. */
  tall() {
    return matchMedia("(max-width: 720px)").matches ? this.height[1] : this.height[0];
  }

  set(items) {
    this.items = items;
    this.at = Math.min(this.at, Math.max(0, items.length - 1));
    if (this.opened !== null && !items.some((item) => this.key(item) === this.opened)) this.close();
    this.dirty = true;
    this.draw();
  }

  /** Draws at the next frame, however often it is asked for until then. */
  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.show(); });
  }

  show() {
    const tall = this.tall();
    const view = this.root.clientHeight || 600;
    const openAt = this.opened === null ? -1 : this.items.findIndex((item) => this.key(item) === this.opened);
    const extra = openAt < 0 ? 0 : this.extra;
    const top = this.root.scrollTop;
    const before = openAt >= 0 && top > (openAt + 1) * tall + extra ? extra : 0;
    const from = Math.max(0, Math.floor((top - before) / tall) - BEYOND);
    const to = Math.min(this.items.length, Math.ceil((top + view) / tall) + BEYOND);
    this.box.style.height = `${this.items.length * tall + extra}px`;
    const seen = new Set();
    for (let n = from; n < to; n += 1) {
      const item = this.items[n];
      const key = this.key(item);
      seen.add(key);
      let row = this.rows.get(key);
      if (!row) {
        row = h("div.list-row", { role: "listitem" }, this.make(item));
        this.rows.set(key, row);
        this.box.append(row);
      }
      const y = n * tall + (openAt >= 0 && n > openAt ? extra : 0);
      if (row.y !== y || row.tall !== tall) {
        row.style.transform = `translateY(${y}px)`;
        row.style.height = `${tall}px`;
        row.y = y;
        row.tall = tall;
      }
      const here = n === this.at;
      if (row.here !== here) { row.classList.toggle("here", here); row.here = here; }
      if (row.place !== n || row.many !== this.items.length) {
        row.setAttribute("aria-posinset", n + 1);
        row.setAttribute("aria-setsize", this.items.length);
        row.place = n; row.many = this.items.length;
      }
      this.update(row.firstChild, item, key === this.opened);
    }
    for (const [key, row] of this.rows) if (!seen.has(key)) { row.remove(); this.rows.delete(key); }
    if (this.below) {
      this.below.hidden = openAt < 0;
      this.below.style.transform = `translateY(${(openAt + 1) * tall}px)`;
      const grown = this.below.offsetHeight;
      if (grown !== this.extra) { this.extra = grown; this.draw(); }
    }
  }

  /** Opens or closes what a row shows below it. */
  toggle(item) {
    const key = this.key(item);
    if (this.opened === key) return this.close();
    this.close();
    this.opened = key;
    this.below = h("div.list-below");
    put(this.below, this.detail(item));
    this.box.append(this.below);
    this.grows = new ResizeObserver(() => this.draw());
    this.grows.observe(this.below);
    this.draw();
  }

  close() {
    this.grows?.disconnect();
    this.below?.remove();
    this.below = null;
    this.opened = null;
    this.extra = 0;
    this.draw();
  }

  current() {
    return this.items[this.at];
  }

  /** Goes to a row, and lets it be seen. */
  go(n) {
    this.at = Math.max(0, Math.min(this.items.length - 1, n));
    const tall = this.tall();
    const y = this.at * tall;
    if (y < this.root.scrollTop) this.root.scrollTop = y;
    else if (y + tall > this.root.scrollTop + this.root.clientHeight) this.root.scrollTop = y + tall - this.root.clientHeight;
    this.draw();
    const row = this.items[this.at] && this.rows.get(this.key(this.items[this.at]));
    const said = row?.querySelector(".name")?.textContent;
    if (said) document.getElementById("says").textContent = said;
  }

  pressed(event) {
    if (event.target !== this.root || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.tall()) - 1);
    const to = { ArrowDown: this.at + 1, ArrowUp: this.at - 1, PageDown: this.at + page, PageUp: this.at - page, Home: 0, End: this.items.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.go(to);
    } else if (this.current() && event.key === " ") {
      event.preventDefault();
      this.toggle(this.current());
    } else if (this.current() && this.onkey?.(event.key, this.current())) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  leave() {
    this.watch.disconnect();
    this.grows?.disconnect();
    cancelAnimationFrame(this.frame);
  }
}
