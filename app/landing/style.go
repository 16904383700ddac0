package landing

// style is the page's style sheet. Colours have a contrast of at least 4.5 to 1
// in both schemes, and what can be tapped is at least 48 pixels high.
const style = `
:root{--back:#f6f7f9;--card:#fff;--text:#1b1f24;--soft:#4d5662;--line:#d8dde3;--main:#0b57d0;--on-main:#fff;
--warn-back:#fff4e0;--warn-line:#b25e00;--good:#157f3b}
@media (prefers-color-scheme:dark){:root{--back:#101317;--card:#1a1f25;--text:#e8ebef;--soft:#aab3bf;--line:#333b45;
--main:#8ab4f8;--on-main:#0a1a33;--warn-back:#2b2113;--warn-line:#e0a04a;--good:#5ccf86}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:44rem;padding:1.25rem 1rem 3rem;background:var(--back);color:var(--text);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:break-word}
h1{margin:0;font-size:1.75rem;line-height:1.2}
h2{margin:2rem 0 .75rem;font-size:1.2rem;line-height:1.3}
p{margin:.5rem 0}
header p{color:var(--soft)}
a{color:var(--main)}
.note{margin-top:1.25rem;padding:.75rem 1rem;background:var(--warn-back);border-left:4px solid var(--warn-line);border-radius:8px}
.note h2{margin:0;font-size:1.05rem}
.how{margin:1.25rem 0 0;padding-left:1.5rem;position:relative}
.dot{position:absolute;left:.1rem;top:.45rem;width:.75rem;height:.75rem;border-radius:50%;border:2px solid var(--soft)}
.dot.on{background:var(--good);border-color:var(--good)}
details{margin:.6rem 0;background:var(--card);border:1px solid var(--line);border-radius:12px}
summary{display:flex;align-items:center;min-height:3rem;padding:.5rem 1rem;font-weight:600;cursor:pointer;list-style:none}
summary::-webkit-details-marker{display:none}
summary::after{content:"";margin-left:auto;width:.55rem;height:.55rem;flex:none;border:solid var(--soft);
border-width:0 2px 2px 0;transform:rotate(45deg)}
details[open] summary::after{transform:rotate(-135deg)}
details div{padding:0 1rem 1rem}
.button{display:block;min-height:3rem;padding:.7rem 1rem;border-radius:10px;background:var(--main);color:var(--on-main);
font-weight:600;text-align:center;text-decoration:none}
ol{margin:.9rem 0;padding-left:1.5rem}
li{margin:.45rem 0}
pre{margin:.25rem 0 .75rem;padding:.75rem;white-space:pre-wrap;overflow-wrap:anywhere;background:var(--back);border:1px solid var(--line);border-radius:8px}
pre,code{font:.875rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.for{margin:.9rem 0 0;font-weight:600;font-size:.9rem}
.small{font-size:.9rem;color:var(--soft)}
dl{margin:0;padding:1rem;background:var(--card);border:1px solid var(--line);border-radius:12px}
dt{font-size:.85rem;color:var(--soft)}
dd{margin:0 0 .75rem}
dd:last-child{margin:0}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
:focus-visible{outline:3px solid var(--main);outline-offset:2px}
@media print{details div{display:block}.button{display:none}}
`
