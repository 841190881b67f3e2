"""How the report looks: light, dark and on paper, from a phone's width up."""

from __future__ import annotations

# Colours of stages: Okabe and Ito's, which colour-blind readers can tell apart.
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f24; --faint: #59636e; --line: #d5dae0; --box: #f4f6f8;
  --grid: #e6e9ed; --capture: #7f8a96; --queue: #e69f00; --inference: #0072b2; --upload: #56b4e9; --compute: #0072b2;
  --download: #009e73; --handover: #cc79a7; --sink: #d55e00; --good: #1a7f37; --warn: #9a5b00; --warnbox: #fff6e5;
  --bad: #b3261e; }
@media screen and (prefers-color-scheme: dark) { :root { --ground: #14171b; --text: #e4e8ec; --faint: #9aa4af;
  --line: #363c44; --box: #1e2329; --grid: #262c33; --capture: #8b96a3; --queue: #f0b429; --inference: #4aa3df;
  --upload: #8fd0f5; --compute: #4aa3df; --download: #34c79a; --handover: #e3a1c6; --sink: #f08a4b; --good: #4cc26a;
  --warn: #f0b429; --warnbox: #2c2410; --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 20px 16px 60px; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 24px; line-height: 1.25; margin: 8px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 34px 0 4px; padding-top: 12px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 18px 0 4px; }
p { margin: 6px 0; max-width: 90ch; overflow-wrap: anywhere; }
.faint { color: var(--faint); }
bdi { unicode-bidi: isolate; }
code { font: 13px/1.4 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.mode { display: inline-block; padding: 2px 12px; border-radius: 99px; color: var(--ground);
  background: var(--inference); font-weight: 700; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(158px, 1fr)); gap: 10px; margin: 16px 0; }
.tile { background: var(--box); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px;
  overflow-wrap: anywhere; }
.tile b { display: block; font-size: 23px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile b small { font-size: 14px; font-weight: 600; color: var(--faint); }
.tile span { display: block; color: var(--faint); font-size: 13px; line-height: 1.4; }
.tile.headline { border-color: var(--inference); border-width: 2px; padding: 9px 11px; }
.cautions { background: var(--warnbox); border: 1px solid var(--warn); border-radius: 8px; padding: 8px 14px 8px 30px;
  margin: 14px 0; }
.cautions li::marker { color: var(--warn); }
.scroll { overflow-x: auto; margin: 8px 0; }
.tall { max-height: 520px; overflow-y: auto; }
.tall th { position: sticky; top: 0; background: var(--ground); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--faint); font-weight: 600; font-size: 13px; vertical-align: bottom; }
tbody th { vertical-align: top; }
td:last-child, th:last-child { padding-right: 0; }
.figure { text-align: right; white-space: nowrap; }
.pairs { display: grid; grid-template-columns: 1fr 1fr; gap: 0 24px; align-items: start; }
.pairs > * { min-width: 0; } .pairs td { overflow-wrap: anywhere; } .pairs tbody th { white-space: nowrap; }
.key { white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: 11px; height: 11px; margin-right: 6px; border-radius: 2px;
  background: var(--key); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.key.sub { padding-left: 17px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 20px; font-size: 13px; color: var(--faint); margin: 4px 0; }
.capture { --key: var(--capture); } .queue { --key: var(--queue); } .inference { --key: var(--inference); }
.upload { --key: var(--upload); } .compute { --key: var(--compute); } .download { --key: var(--download); }
.handover { --key: var(--handover); } .sink { --key: var(--sink); } .age { --key: var(--text); }
.interval { --key: var(--faint); } .drop { --key: var(--bad); } .plain { --key: var(--inference); }
svg { display: block; fill: var(--text); font-size: 13px; font-variant-numeric: tabular-nums; }
svg.chart { width: 100%; height: auto; }
svg text.faint { fill: var(--faint); }
svg text.on { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; }
.area { fill: var(--key); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.dots { fill: none; stroke: var(--key); stroke-linecap: round; stroke-width: 3.2; }
.curve { fill: none; stroke: var(--key); stroke-width: 2; stroke-linejoin: round; }
.axis { stroke: var(--line); fill: none; } .grid { stroke: var(--grid); fill: none; }
.warming { fill: var(--box); } .mark { stroke: var(--faint); stroke-dasharray: 4 4; fill: none; }
.limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 7 4; fill: none; }
svg text.limit { fill: var(--bad); stroke-dasharray: none; stroke: var(--ground); stroke-width: 4px; }
.bar { display: block; height: 12px; border-radius: 2px; background: var(--key); min-width: 1px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
td.bars { width: 40%; vertical-align: middle; }
@media screen and (max-width: 760px) { .pairs { grid-template-columns: 1fr; } .scroll > svg.chart { min-width: 640px; }
  td.bars { width: 25%; } }
@media print { @page { margin: 14mm; } body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; max-height: none; } table, th { font-size: 8.5pt; } th, td { padding-right: 8px; }
  .tall th { position: static; } thead { display: table-header-group; } tr, .tile, svg, figure { break-inside: avoid; }
  h2, h3 { break-after: avoid; } .tiles { grid-template-columns: repeat(4, 1fr); }
  .mode { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
