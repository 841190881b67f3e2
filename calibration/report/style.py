"""How the report looks: light, dark and on paper, from a phone's width up."""

from __future__ import annotations

# Colours of precisions: Okabe and Ito's, which colour-blind readers can tell apart.
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f24; --faint: #59636e; --line: #d5dae0; --box: #f4f6f8;
  --int8: #0072b2; --fp16: #e69f00; --fp32: #cc5a00; --good: #1a7f37; --bad: #b3261e; }
@media screen and (prefers-color-scheme: dark) { :root { --ground: #14171b; --text: #e4e8ec; --faint: #9aa4af;
  --line: #363c44; --box: #1e2329; --int8: #56b4e9; --fp16: #f0b429; --fp32: #ef7d3c; --good: #4cc26a;
  --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 20px 16px 60px; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 24px; line-height: 1.25; margin: 8px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 6px; padding-top: 10px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 20px 0 6px; overflow-wrap: anywhere; }
p { margin: 6px 0; max-width: 80ch; overflow-wrap: anywhere; }
.faint { color: var(--faint); }
bdi { unicode-bidi: isolate; }
code { font: 13px/1.4 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.verdict { display: inline-block; padding: 2px 12px; border-radius: 99px; color: var(--ground); font-weight: 700; }
.passed { background: var(--good); } .refused { background: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 14px 0; }
.tile { background: var(--box); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px;
  overflow-wrap: anywhere; }
.tile b { display: block; font-size: 22px; line-height: 1.3; }
.tile span { color: var(--faint); font-size: 13px; }
.scroll { overflow-x: auto; margin: 8px 0; }
.tall { max-height: 480px; overflow-y: auto; }
.tall th { position: sticky; top: 0; background: var(--ground); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
th { color: var(--faint); font-weight: 600; font-size: 13px; vertical-align: bottom; }
td:last-child, th:last-child { padding-right: 0; }
.scroll code { overflow-wrap: normal; }
.scroll td.words { min-width: 9ch; overflow-wrap: anywhere; }
.figure { text-align: right; white-space: nowrap; }
th.figure { white-space: normal; }
.precision { white-space: nowrap; font-weight: 600; }
.precision::before { content: ""; display: inline-block; width: 10px; height: 10px; margin-right: 6px;
  border-radius: 2px; background: var(--key); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.int8 { --key: var(--int8); } .fp16 { --key: var(--fp16); } .fp32 { --key: var(--fp32); }
svg { display: block; fill: var(--text); font-size: 12px; }
svg text { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; }
rect { fill: var(--key); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.shares { width: 100%; height: 28px; border-radius: 6px; margin: 10px 0; background: var(--box); }
.signed { width: 160px; height: 10px; }
.chart { width: 100%; min-width: 480px; max-width: 640px; }
.line { fill: none; stroke: var(--int8); stroke-width: 2; } .dot { fill: var(--int8); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 24px; }
.crops { display: flex; flex-wrap: wrap; gap: 12px; margin: 6px 0; }
figure { margin: 0; flex: 0 1 auto; max-width: 100%; break-inside: avoid; }
figcaption { color: var(--faint); font-size: 13px; }
.crops img { display: block; max-width: 100%; height: auto; image-rendering: pixelated; border: 1px solid var(--line); }
@media (max-width: 700px) { .crops { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
  .crops img { width: 100%; } .signed { width: 80px; } .scroll td.words:last-child { min-width: 32ch; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .scroll { overflow: visible; max-height: none; }
  table, th, .scroll code { font-size: 8pt; } th, td { padding-right: 8px; }
  .scroll td.words:last-child { min-width: 0; } .tall th { position: static; }
  tr, .tile { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .crops { display: grid; grid-template-columns: repeat(4, 1fr); gap: 6px; } .crops img { width: 100%; }
  .signed { width: 90px; } .chart { min-width: 0; } thead { display: table-header-group; }
  .verdict { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
