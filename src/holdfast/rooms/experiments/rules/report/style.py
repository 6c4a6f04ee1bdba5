"""The style of every page: the console's type, spacing and colours; light, dark, phone and A4."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: light-dark(#f4f6f5, #0c1110); --card: light-dark(#ffffff, #141b1a);
    --line: light-dark(#e1e7e4, #24302d);
  --text: light-dark(#16211e, #e5edea); --quiet: light-dark(#56655f, #93a59e);
    --accent: light-dark(#0f766e, #2dd4bf);
  --well: light-dark(#15803d, #4ade80); --warn: light-dark(#a16207, #facc15);
    --bad: light-dark(#b91c1c, #f87171);
  --part-0: light-dark(#0f766e, #2dd4bf); --part-1: light-dark(#2563eb, #60a5fa);
  --part-2: light-dark(#b45309, #fbbf24); --part-3: light-dark(#7c3aed, #a78bfa);
  --sans: "Pretendard Variable", Pretendard, -apple-system, "Segoe UI", system-ui, "Apple SD Gothic Neo",
    "Noto Sans KR", "Noto Sans CJK KR", "Malgun Gothic", "Liberation Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, D2Coding, "DejaVu Sans Mono", monospace;
}
* { box-sizing: border-box; margin: 0; }
body { background: var(--ground); color: var(--text); font: 15px/1.5 var(--sans); word-break: keep-all;
  overflow-wrap: anywhere; font-variant-numeric: tabular-nums; -webkit-font-smoothing: antialiased; }
header, main, footer { max-width: 900px; margin: 0 auto; padding: 0 24px; }
header { display: flex; align-items: center; gap: 14px; padding-top: 28px; padding-bottom: 22px;
    flex-wrap: wrap; }
header > div { flex: 1; min-width: 0; }
.logo { width: 38px; height: 38px; flex: none; }
h1 { font-size: 21px; line-height: 1.25; letter-spacing: -.02em; unicode-bidi: isolate; }
h2 { font-size: 15px; font-weight: 650; margin-bottom: 12px; }
h3 { font-size: 13.5px; font-weight: 650; margin: 18px 0 8px; unicode-bidi: isolate; }
.sub, .note { color: var(--quiet); font-size: 13px; }
.note { margin-top: 10px; }
main { display: grid; gap: 16px; grid-template-columns: minmax(0, 1fr); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 18px 20px; }
.pill { display: inline-flex; gap: 8px; padding: 6px 14px; border: 1px solid currentColor;
  border-radius: 99px; background: var(--card); font-size: 13px; font-weight: 650; white-space: nowrap; }
.pill.well, .finding.well { color: var(--well); } .pill.warn, .finding.warn { color: var(--warn); }
.pill.bad, .finding.bad { color: var(--bad); } .finding { white-space: nowrap; font-weight: 600; }
.finding.plain { color: var(--quiet); font-weight: 500; }
.decision { border-left: 5px solid var(--accent); }
.decision.well { border-left-color: var(--well); } .decision.warn { border-left-color: var(--warn); }
.decision.bad { border-left-color: var(--bad); }
.both { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr));
    gap: 12px 28px; }
.both p { font-size: 16.5px; font-weight: 600; line-height: 1.5; letter-spacing: -.01em;
  unicode-bidi: isolate; white-space: pre-line; }
.both p + p { color: var(--quiet); font-size: 15px; font-weight: 500; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px 20px; }
dt { color: var(--quiet); font-size: 12.5px; }
dd { font-size: 16px; font-weight: 650; line-height: 1.35; unicode-bidi: isolate; }
.said + .figures, .said + .scroll { margin-top: 14px; }
.rule { display: grid; gap: 0; }
.rule div { display: flex; justify-content: space-between; gap: 16px; border-top: 1px solid var(--line);
  padding: 7px 0; }
.rule div:first-child { border-top: 0; }
.rule dt { font-size: 13.5px; } .rule dd { font-size: 13.5px; font-weight: 600; text-align: right; }
td, th { overflow-wrap: break-word; }
table { width: 100%; border-collapse: collapse; font-size: 13.5px; }
th { text-align: left; font-weight: 500; }
thead th { color: var(--quiet); font-size: 12.5px; padding: 0 0 6px; vertical-align: bottom; }
td, tbody th { padding: 7px 0; border-top: 1px solid var(--line); vertical-align: top;
    unicode-bidi: isolate; }
tbody th { font-weight: 600; }
th + th, td + td, th + td { padding-left: 14px; }
.number { text-align: right; white-space: nowrap; }
thead .number { white-space: normal; }
small { display: block; color: var(--quiet); font-size: 12px; font-weight: 400; }
code { font-family: var(--mono); font-size: 12.5px; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.scroll table { min-width: 560px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
details { margin-top: 14px; }
summary { cursor: pointer; color: var(--accent); font-size: 13.5px; font-weight: 600; }
details > :last-child { margin-top: 10px; }
.plot svg { display: block; width: 100%; min-width: 600px; height: auto; }
.plot text { font-size: 12px; fill: var(--quiet); }
.plot .name, .plot .strong { fill: var(--text); font-weight: 600; }
.grid { stroke: var(--line); stroke-width: 1; }
.axis { stroke: var(--quiet); stroke-width: 1; }
.shift { stroke: var(--line); stroke-width: 1.5; stroke-dasharray: 3 3; }
.threshold { stroke: var(--bad); stroke-width: 2; stroke-dasharray: 7 4; }
.moment { stroke: var(--text); stroke-width: 1.5; }
.line-0, .line-1, .line-2, .line-3 { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.line-0 { stroke: var(--part-0); } .line-1 { stroke: var(--part-1); stroke-dasharray: 8 4; }
.line-2 { stroke: var(--part-2); stroke-dasharray: 2 3; }
.line-3 { stroke: var(--part-3); stroke-dasharray: 10 3 2 3; }
.spot.line-0 { fill: var(--part-0); } .spot.line-1 { fill: var(--part-1); }
.spot.line-2 { fill: var(--part-2); } .spot.line-3 { fill: var(--part-3); }
.plot .of-line-0 { fill: var(--part-0); } .plot .of-line-1 { fill: var(--part-1); }
.plot .of-line-2 { fill: var(--part-2); } .plot .of-line-3 { fill: var(--part-3); }
.under { fill: var(--accent); opacity: .15; }
.day { fill: var(--card); stroke: var(--quiet); stroke-width: 1.3; }
.whisker { stroke: var(--quiet); stroke-width: 2; fill: none; } .mark { fill: var(--quiet); }
.whisker.well { stroke: var(--well); } .mark.well { fill: var(--well); }
.whisker.bad { stroke: var(--bad); } .mark.bad { fill: var(--bad); }
footer { padding-top: 18px; padding-bottom: 36px; color: var(--quiet); font-size: 12.5px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
    white-space: nowrap; }
@media (max-width: 560px) { header, main, footer { padding-left: 14px; padding-right: 14px; }
  .card { padding: 16px 14px; } }
@page { size: A4; margin: 14mm; }
@media print {
  :root { color-scheme: light; }
  body { background: #fff; font-size: 12px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  header, main, footer { max-width: none; padding-left: 0; padding-right: 0; }
  header { padding-top: 0; }
  .card { border-radius: 8px; padding: 12px 14px; }
  .plot, tr, .decision, h2, h3 { break-inside: avoid; }
  h2, h3, summary { break-after: avoid; }
  .scroll { overflow: visible; }
  .scroll table, .plot svg { min-width: 0; }
  table { font-size: 10.5px; }
  code { font-size: 9.5px; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""
