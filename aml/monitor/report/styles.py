"""How the HTML report looks: two palettes, and one style sheet that is made of them."""

from __future__ import annotations

from collections.abc import Mapping

#: Colours by their use. Text has a contrast of at least 4.5 to what it stands on and shapes of 3; the three colours of
#: kinds are told apart by their lightness too, for those who see few hues and for print in grey.
LIGHT = {
    "page": "#f5f6f8",
    "card": "#ffffff",
    "ink": "#18212c",
    "soft": "#55606e",
    "line": "#dfe3e9",
    "fill1": "#1d4f91",
    "fill2": "#2c9c8a",
    "fill3": "#d97706",
    "fill4": "#868f9b",
    "area": "#e3ebf5",
    "event": "#a3123a",
    "code": "#eef1f5",
    "good": "#1a6e44",
    "good-back": "#e3f3ea",
    "info": "#2b5f9e",
    "info-back": "#e6eef8",
    "warning": "#7d5200",
    "warning-back": "#fdf0d5",
    "error": "#a53a1a",
    "error-back": "#fde8e0",
    "critical": "#9b1137",
    "critical-back": "#fbe2e8",
}
DARK = {
    "page": "#11161c",
    "card": "#1a2129",
    "ink": "#e8edf3",
    "soft": "#a5b0bd",
    "line": "#303a45",
    "fill1": "#5a8ee0",
    "fill2": "#7fdcc4",
    "fill3": "#f2a154",
    "fill4": "#8d99a8",
    "area": "#22334b",
    "event": "#ff8598",
    "code": "#252e38",
    "good": "#6fd39b",
    "good-back": "#17301f",
    "info": "#93bdf2",
    "info-back": "#1b2c42",
    "warning": "#f0c067",
    "warning-back": "#352a12",
    "error": "#f79a74",
    "error-back": "#3a2218",
    "critical": "#ff8fa3",
    "critical-back": "#3d1a24",
}

_RULES = """
*,*::before,*::after{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);line-height:1.5;font-size:15px;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Liberation Sans",Arial,sans-serif}
main,header.top,footer{max-width:1120px;margin:0 auto;padding:0 24px}
h1,h2,h3,p,ul,table,dl,dd,figure{margin:0;padding:0}
h1{font-size:28px;line-height:1.2;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{font-size:17px;line-height:1.3;letter-spacing:-.005em}
h3{font-size:14px;line-height:1.4}
code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono","DejaVu Sans Mono",monospace;
font-size:.88em}
code{background:var(--code);border-radius:4px;padding:.15em .4em;overflow-wrap:anywhere}
.soft{color:var(--soft)}.small{font-size:13px}.whole{white-space:nowrap}
a{color:inherit}
header.top{padding-top:40px;padding-bottom:20px}
.eyebrow{color:var(--soft);font-size:13px;letter-spacing:.02em;margin-bottom:4px}
.where{margin-top:6px;color:var(--soft);font-size:13px;overflow-wrap:anywhere}
section,.tiles{margin-bottom:20px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 24px;min-width:0}
.card>h2{margin-bottom:4px}
.card>h2+.table,.card>h2+.pair{margin-top:12px}
.card>h2+details{margin-top:4px}
.card>.lead{color:var(--soft);font-size:13.5px;margin-bottom:14px;max-width:92ch}
.rest p.small{margin-top:10px}
.pair>div{min-width:0}
.pair.top{align-items:start}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:20px}
.state{border-left:6px solid var(--tone);padding:22px 24px;display:grid;grid-template-columns:34px minmax(0,1fr);
gap:0 16px;align-items:start}
.state svg.sign{width:34px;height:34px;margin-top:1px}
.state h2{font-size:21px;letter-spacing:-.01em}
.state p{color:var(--soft)}
.state .rest{grid-column:2}
.sign{fill:var(--tone)}.sign .mark{fill:none;stroke:var(--card);
stroke-width:2.6;stroke-linecap:round;stroke-linejoin:round}
.good{--tone:var(--good);--back:var(--good-back)}.info{--tone:var(--info);--back:var(--info-back)}
.warning{--tone:var(--warning);--back:var(--warning-back)}.error{--tone:var(--error);--back:var(--error-back)}
.critical{--tone:var(--critical);--back:var(--critical-back)}.none{--tone:var(--soft);--back:var(--code)}
.word{display:inline-block;color:var(--tone);background:var(--back);border-radius:999px;padding:1px 10px;
font-size:12.5px;font-weight:600;white-space:nowrap}
ul.found{list-style:none;margin-top:14px;display:grid;gap:10px}
ul.found li{margin:0;display:grid;grid-template-columns:84px minmax(0,1fr);gap:2px 12px;align-items:baseline;
border-top:1px solid var(--line);padding-top:10px}
ul.found li>.word{justify-self:start}
ul.found .what{overflow-wrap:anywhere}ul.found .check{font-weight:600}
ul.found .mend{grid-column:2;color:var(--soft);font-size:13.5px;overflow-wrap:anywhere}
ul.found .mend code{color:var(--ink)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:14px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px;min-width:0}
.tile dt{color:var(--soft);font-size:13px}
.tile .figure{font-size:21px;line-height:1.25;font-weight:620;letter-spacing:-.02em;font-variant-numeric:tabular-nums;
overflow-wrap:anywhere}
.tile .figure.long{font-size:16px;line-height:1.64}
.tile .note{color:var(--soft);font-size:12.5px;text-wrap:balance;overflow-wrap:anywhere}
svg.plot{display:block;overflow:visible}
svg.timed{width:calc(100% - 58px);margin-left:58px}
h3+svg.plot{margin-top:6px}
svg text{fill:var(--soft);font-size:11.5px;font-variant-numeric:tabular-nums;paint-order:stroke;stroke:var(--card);
stroke-width:3px;stroke-linejoin:round}
svg text.level{text-anchor:end}
svg text.middle,svg text.number{text-anchor:middle}svg text.end{text-anchor:end}
svg text.number{fill:var(--ink)}
.grid{stroke:var(--line)}.floor{stroke:var(--soft);stroke-opacity:.55}
.line{fill:none;stroke:var(--fill1);stroke-width:2;stroke-linejoin:round}
.line.gap{stroke-dasharray:2 5;stroke-width:1.5}
.area{fill:var(--area)}.dot{fill:var(--card);stroke:var(--fill1);stroke-width:2}
.event line{stroke:var(--event);stroke-dasharray:3 3}.event circle{fill:var(--event)}
.fill1{fill:var(--fill1)}.fill2{fill:var(--fill2)}.fill3{fill:var(--fill3)}.fill4{fill:var(--fill4)}
.part{stroke:var(--card);stroke-width:1}
svg.bar{display:block;border-radius:3px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;color:var(--soft);font-size:13px;margin-bottom:10px}
.key{display:inline-flex;align-items:center;gap:6px}
.table{overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:7px 14px 7px 0;border-top:1px solid var(--line);vertical-align:baseline;min-width:0}
th:last-child,td:last-child{padding-right:0}
thead th{border-top:0;color:var(--soft);font-weight:500;font-size:12.5px;padding-top:0;white-space:nowrap}
tbody th{font-weight:500}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;overflow-wrap:normal}
td.s{white-space:nowrap;overflow-wrap:normal}
td.t{min-width:7em}
td.bars{width:34%;vertical-align:middle}
details{margin-top:12px}
summary{cursor:pointer;color:var(--soft);font-size:13px}
summary:hover,summary:focus-visible{color:var(--ink)}
details>*:not(summary){margin-top:8px}
details table{font-size:13px}
dl.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:6px 18px;font-size:14px;align-items:baseline}
dl.facts.across{grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px 24px;margin:10px 0 18px}
dl.facts.across dt{font-size:13px}
*+dl.facts{margin-top:12px}
dl.facts dt{color:var(--soft)}
dl.facts dd{overflow-wrap:anywhere}
.empty{color:var(--soft);padding:10px 0 2px}
.run{border-top:1px solid var(--line);padding-top:14px;margin-top:14px}
.run:first-of-type{border-top:0;margin-top:0;padding-top:0}
.run .head{display:flex;flex-wrap:wrap;gap:2px 14px;align-items:baseline;margin-bottom:6px}
.run .head .soft{font-size:13px}
.run p{margin-top:8px}
table.rules th,table.rules td{border-top:0;padding-top:3px;padding-bottom:3px}
table.rules td:first-child{width:200px}table.rules td.n{width:64px}table.rules td.bars{width:auto}
section li{margin-left:1.2em}
footer{color:var(--soft);font-size:12.5px;padding-top:4px;padding-bottom:40px}
@media screen and (max-width:820px){.pair{grid-template-columns:minmax(0,1fr)}}
@media (min-width:561px),print{table.agents td:first-child{min-width:9.5em}}
@media screen and (min-width:561px) and (max-width:720px){table.agents .less{display:none}}
@media (max-width:1100px),print{.tiles{grid-template-columns:repeat(3,minmax(0,1fr))}}
@media (max-width:560px),(min-width:821px) and (max-width:1000px),print{svg text.also{display:none}}
@media (max-width:820px),print{table.agents :is(th,td):nth-last-child(-n+2){display:none}
td.bars{width:24%}th,td{padding-right:8px}}
@media (max-width:560px){
body{font-size:15px}
main,header.top,footer{padding-left:14px;padding-right:14px}
header.top{padding-top:24px}
.card{padding:16px}
.state{padding:16px;gap:0 12px;grid-template-columns:26px minmax(0,1fr)}.state svg.sign{width:26px;height:26px}
.state .rest{grid-column:1/-1}
ul.found li{grid-template-columns:minmax(0,1fr)}ul.found .mend{grid-column:1}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:10px}
.tile{padding:12px 14px}.tile .figure{font-size:20px}
.less{display:none}
table.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table.stack tr{display:block;border-top:1px solid var(--line);padding:9px 0}
table.stack th,table.stack td{display:block;border:0;padding:1px 0;text-align:left;width:auto;white-space:normal}
table.stack td[data-label]::before{content:attr(data-label) " ";color:var(--soft);font-size:12.5px}
table.stack td.inline{display:inline-block;margin-right:14px}
table.stack td:empty{display:none}
table:not(.stack) :is(th,td:not(.n)){padding-right:8px;white-space:normal}table:not(.stack) td.n{padding-right:8px}
table.rules td:first-child{width:46%}table.rules td.n{width:44px}
dl.facts.across{grid-template-columns:repeat(2,minmax(0,1fr));gap:12px}
}
@media print{
@page{margin:14mm}
:root{color-scheme:light}
body{font-size:10pt;background:#fff}
table,dl.facts,.table{font-size:9pt}th,td{padding-top:3px;padding-bottom:3px}
main,header.top,footer{max-width:none;padding-left:0;padding-right:0}
header.top{padding-top:0}
.card,.tile{break-inside:avoid;border-color:#bbb}.state{border-left-color:var(--tone)}
.long{break-inside:auto}tr,.head,li,svg,.tiles{break-inside:avoid}
h2,h3,.lead,.head,thead,.legend{break-after:avoid}
summary{list-style:none}
details::details-content{content-visibility:visible;display:block;height:auto}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
"""


def style_sheet() -> str:
    """The whole style sheet: on paper it is light, whatever the screen is."""
    return (
        f":root{{color-scheme:light dark;{_variables(LIGHT)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}" + _RULES.replace("\n", "")
    )


def _variables(palette: Mapping[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in palette.items())
