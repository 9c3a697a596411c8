-- SPDX-License-Identifier: MIT
-- admin_page_style: how the live page looks. Colours have a contrast of 4.5 : 1 or more with what
-- is behind them, lines 3 : 1, by day and by night.

return [==[
:root {
  color-scheme: light dark;
  --back: #ffffff; --front: #1b1f24; --dim: #57606a; --line: #d0d7de; --panel: #f6f8fa;
  --accent: #0550ae; --bad: #a40e26; --focus: #0550ae;
  --c0: #0550ae; --c1: #9a4a00; --c2: #116329; --c3: #6639ba; --c4: #a40e26; --c5: #0b6b71;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14171c; --front: #e6edf3; --dim: #9aa4af; --line: #3b434d; --panel: #1c2128;
    --accent: #79c0ff; --bad: #ff9a9a; --focus: #f2cc60;
    --c0: #79c0ff; --c1: #ffb86b; --c2: #6fdd8b; --c3: #d2b6ff; --c4: #ff9a9a; --c5: #5ad8d8;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 0 1rem 2rem; background: var(--back); color: var(--front);
  font: 15px/1.45 system-ui, sans-serif;
}
header { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; align-items: center;
  padding: .75rem 0; }
h1 { font-size: 1.25rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
#about, .dim, figcaption small { color: var(--dim); }
#status { font-weight: 600; }
#status.bad { color: var(--bad); }
button, select, input {
  font: inherit; color: var(--front); background: var(--panel); border: 1px solid var(--dim);
  border-radius: 6px; padding: .3rem .7rem;
}
button { cursor: pointer; }
button[aria-pressed="true"] { background: var(--accent); color: var(--back); }
button[disabled] { color: var(--dim); cursor: default; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
a { color: var(--accent); }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--back); padding: .5rem; z-index: 1; }
.bar { display: flex; flex-wrap: wrap; gap: .5rem .75rem; align-items: center; }
#plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: .75rem; }
figure { margin: 0; padding: .6rem .75rem; background: var(--panel); border: 1px solid var(--line);
  border-radius: 8px; min-width: 0; }
figcaption { display: flex; justify-content: space-between; font-weight: 600; }
figcaption small { font-weight: 400; }
figure svg { display: block; width: 100%; height: 84px; margin: .35rem 0; background: var(--back);
  border-bottom: 1px solid var(--line); }
figure svg polyline { fill: none; stroke-width: 1.6; vector-effect: non-scaling-stroke; }
.s0 { stroke: var(--c0); background: var(--c0); } .s1 { stroke: var(--c1); background: var(--c1); }
.s2 { stroke: var(--c2); background: var(--c2); } .s3 { stroke: var(--c3); background: var(--c3); }
.s4 { stroke: var(--c4); background: var(--c4); } .s5 { stroke: var(--c5); background: var(--c5); }
.dash { stroke-dasharray: 5 3; }
ul.legend { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0 .9rem;
  font-size: .85rem; }
ul.legend i { display: inline-block; width: .8rem; height: .2rem; margin-right: .35rem;
  vertical-align: middle; }
ul.bars { list-style: none; margin: .35rem 0 0; padding: 0; font-size: .85rem; max-height: 9rem;
  overflow: auto; }
ul.bars li { display: grid; grid-template-columns: 1fr auto; gap: 0 .5rem; }
ul.bars span { overflow-wrap: anywhere; }
ul.bars i { grid-column: 1 / -1; height: .3rem; background: var(--c0); border-radius: 2px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid
  var(--line); overflow-wrap: anywhere; }
th button { border: 0; background: none; padding: 0; font-weight: 600; }
th[aria-sort="ascending"] button::after { content: " \25b2"; }
th[aria-sort="descending"] button::after { content: " \25bc"; }
td.num, th.num { text-align: right; white-space: nowrap; }
td > button.row { border: 0; background: none; padding: 0; text-align: left; white-space: nowrap; }
td > button.row::before { content: "\25b8\00a0"; }
td > button.row[aria-expanded="true"]::before { content: "\25be\00a0"; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: .85rem/1.5 ui-monospace,
  monospace; }
.library { color: var(--dim); }
#search { flex: 1 1 14rem; }
iframe { width: 100%; height: 32rem; border: 1px solid var(--line); border-radius: 8px;
  background: #ffffff; }
[hidden] { display: none !important; }
@media (max-width: 40rem) {
  body { padding: 0 .6rem 2rem; }
  table.tasks thead { position: absolute; left: -99rem; }
  table.tasks tr { display: block; border-bottom: 1px solid var(--line); padding: .3rem 0; }
  table.tasks td { display: block; border: 0; padding: .1rem .3rem; }
  table.tasks td.num { text-align: left; }
}
@media (prefers-reduced-motion: no-preference) { ul.bars i { transition: width .3s; } }
]==]
