-- SPDX-License-Identifier: MIT
-- admin_page_plots: JavaScript of the live page: plots that move with time. Each is an SVG of lines
-- with a legend that has the last values as text; what is drawn is what the page has seen.

return [==[
"use strict";
const SECONDS = 120, SECONDS_MIN = 20, WIDTH = 300, HEIGHT = 100, COLOURS = 6;

const $ = (id) => document.getElementById(id);

// An element: its name, attributes, and children, which may be text.
const make = (tag, attributes, ...children) => {
  const e = tag === "svg" || tag === "polyline"
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children);
  return e;
};

const setText = (e, text) => {
  if (e.textContent !== text) e.textContent = text;
};

const short = (v) => v.toFixed(v === 0 || v >= 100 ? 0 : v >= 10 ? 1 : 2);

const scaled = (v, steps, names) => {
  let i = 0;
  while (i + 1 < names.length && Math.abs(v) >= steps) {
    v /= steps;
    i++;
  }
  const whole = Number.isInteger(v) && Math.abs(v) < 1000;
  return (whole ? String(v) : short(v)) + names[i];
};

// A number with its unit, as people read it.
const format = (v, unit) => {
  if (v === null || v === undefined || Number.isNaN(v)) return "\u2013";
  if (unit === "s") {
    if (v === 0) return "0 s";
    if (v < 1e-6) return short(v * 1e9) + " ns";
    if (v < 1e-3) return short(v * 1e6) + " \u00b5s";
    if (v < 1) return short(v * 1e3) + " ms";
    return v < 120 ? short(v) + " s" : v < 7200 ? short(v / 60) + " min" : short(v / 3600) + " h";
  }
  if (unit === "B" || unit === "B/s")
    return scaled(v, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]) + (unit === "B/s" ? "/s" : "");
  return scaled(v, 1000, ["", " k", " M", " G"]) + (unit === "/s" ? "/s" : "");
};

// The next larger of 1, 2, 5, 10, 20, ...; of bytes, of powers of two.
const roundUp = (v, unit) => {
  if (!(v > 0)) return 1;
  if (unit.startsWith("B")) return 2 ** Math.ceil(Math.log2(v));
  const power = 10 ** Math.floor(Math.log10(v));
  return power * [1, 2, 5, 10].find((n) => n * power >= v * 0.9999);
};

class Plot {
  constructor(parent, title, unit) {
    this.title = title;
    this.unit = unit;
    this.times = [];
    this.series = new Map();
    this.scale = make("small");
    this.svg = make("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
      role: "img", "aria-label": title + ": nothing yet"});
    this.legend = make("ul", {class: "legend"});
    parent.append(make("figure", {}, make("figcaption", {}, title, this.scale), this.svg,
      this.legend));
  }

  line(name) {
    const n = this.series.size, colour = "s" + n % COLOURS;
    const s = {values: this.times.map(() => null), text: make("b")};
    s.line = make("polyline", {class: colour + (n >= COLOURS ? " dash" : "")});
    this.svg.append(s.line);
    this.legend.append(make("li", {}, make("i", {class: colour}), name + " ", s.text));
    this.series.set(name, s);
    return s;
  }

  // Values by name, of this time. A name that was there and is not any more has none.
  push(time, values) {
    for (const name of Object.keys(values)) if (!this.series.has(name)) this.line(name);
    this.times.push(time);
    for (const [name, s] of this.series) s.values.push(name in values ? values[name] : null);
    while (this.times[0] < time - SECONDS) {
      this.times.shift();
      for (const s of this.series.values()) s.values.shift();
    }
    this.draw(time);
  }

  draw(time) {
    let top = 0;
    for (const s of this.series.values()) for (const v of s.values) if (v > top) top = v;
    top = roundUp(top, this.unit);
    const span = Math.min(SECONDS, Math.max(SECONDS_MIN, time - this.times[0]));
    const said = [];
    for (const [name, s] of this.series) {
      const points = [];
      s.values.forEach((v, i) => {
        if (v === null) return;
        const x = WIDTH * (1 - (time - this.times[i]) / span);
        points.push(x.toFixed(1) + "," + (HEIGHT * (1 - 0.96 * v / top)).toFixed(1));
      });
      s.line.setAttribute("points", points.join(" "));
      const last = format(s.values[s.values.length - 1], this.unit);
      setText(s.text, last);
      said.push(name + " " + last);
    }
    setText(this.scale, `0 to ${format(top, this.unit)}, ${Math.round(span)} s`);
    this.svg.setAttribute("aria-label", this.title + ": " + said.join(", "));
  }
}

// How many there are of each of some things, as bars.
class Bars {
  constructor(parent, title) {
    this.list = make("ul", {class: "bars"});
    this.note = make("small");
    parent.append(make("figure", {}, make("figcaption", {}, title, this.note), this.list));
  }

  show(entries, note) {
    const top = Math.max(1, ...entries.map(([, n]) => n));
    while (this.list.children.length > entries.length) this.list.lastChild.remove();
    entries.forEach(([name, n], i) => {
      const li = this.list.children[i] || this.list.appendChild(
        make("li", {}, make("span"), make("b"), make("i")));
      setText(li.children[0], name);
      setText(li.children[1], format(n, ""));
      li.children[2].style.width = 100 * n / top + "%";
    });
    setText(this.note, note);
  }
}
]==]
