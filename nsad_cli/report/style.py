"""The style sheet of the HTML report: light and dark, narrow and wide, and on paper."""

STYLE = """\
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --muted: #57606a; --line: #d5dae0; --soft: #f4f6f8;
  --link: #0757b5; --good: #1a7f4b; --bad: #c03a2b; --plain: #3b6ea8;
  --s1: #0b62a8; --s2: #c2500a; --s3: #157a55; --s4: #8a3b8f; --s5: #7a6200; --s6: #57606a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e4e8ec; --muted: #a0aab4; --line: #3a424b; --soft: #1e2329;
    --link: #7db8ff; --good: #56c789; --bad: #ff8d7e; --plain: #7fb0e6;
    --s1: #6cb2ff; --s2: #ffa564; --s3: #5fd3a6; --s4: #dc9fe5; --s5: #e3c65a; --s6: #a0aab4; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem clamp(0.75rem, 3vw, 2rem) 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  overflow-wrap: anywhere; }
h1 { margin: 0.5rem 0 0; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 0.75rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line); font-size: 1.25rem; }
h3 { margin: 1.5rem 0 0.5rem; font-size: 1rem; }
p { max-width: 46rem; margin: 0.5rem 0; }
a { color: var(--link); }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; margin-top: 0.75rem; }
.muted { color: var(--muted); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.25rem 2rem;
  margin: 0.75rem 0; }
figure { margin: 0; max-width: 34rem; }
figcaption, .caption { font-weight: 600; margin: 0 0 0.25rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--ink); }
svg text.muted { fill: var(--muted); }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--muted); }
svg .reference { stroke: var(--muted); stroke-width: 1.5; stroke-dasharray: 5 4; }
svg .line { fill: none; stroke-width: 2; } svg .band { opacity: 0.16; } svg .track { fill: var(--soft); }
svg .line.s1 { stroke: var(--s1); } svg .fill.s1, svg .band.s1 { fill: var(--s1); }
svg .line.s2 { stroke: var(--s2); stroke-dasharray: 7 3; } svg .fill.s2, svg .band.s2 { fill: var(--s2); }
svg .line.s3 { stroke: var(--s3); stroke-dasharray: 2 3; } svg .fill.s3, svg .band.s3 { fill: var(--s3); }
svg .line.s4 { stroke: var(--s4); stroke-dasharray: 10 3 2 3; } svg .fill.s4, svg .band.s4 { fill: var(--s4); }
svg .line.s5 { stroke: var(--s5); stroke-dasharray: 5 2; } svg .fill.s5, svg .band.s5 { fill: var(--s5); }
svg .line.s6 { stroke: var(--s6); stroke-dasharray: 1 2; } svg .fill.s6, svg .band.s6 { fill: var(--s6); }
svg line.line.forest { stroke-dasharray: none; }
svg .plain { fill: var(--plain); } svg .good { fill: var(--good); } svg .bad { fill: var(--bad); }
svg .fill.muted { fill: var(--s6); }
.tables { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1rem 3rem; margin: 0.75rem 0; }
.tables > div { max-width: 100%; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.2rem 0.45rem; text-align: left; vertical-align: top; overflow-wrap: break-word; max-width: 24rem; }
.k { white-space: nowrap; }
thead th { border-bottom: 1px solid var(--line); vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--soft); }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { margin: 0.25rem 0; white-space: pre-wrap; font: 0.85rem/1.45 ui-monospace, Menlo, Consolas, monospace; }
.code { white-space: pre; overflow-x: auto; padding: 0.6rem 0.8rem; background: var(--soft); border-radius: 4px; }
.quote { margin: 0.75rem 0; padding-left: 0.8rem; border-left: 3px solid var(--line); }
.quote p { margin: 0; font-size: 0.9rem; }
summary { cursor: pointer; color: var(--link); }
details { margin: 0.75rem 0; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media (max-width: 40rem) { svg text { font-size: 13.5px; } h2 { margin-top: 2rem; } }
@media print { nav { display: none; } figure, tr { break-inside: avoid; } }
"""
