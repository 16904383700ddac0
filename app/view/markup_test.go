package view_test

import (
	"testing"

	"transom/app/view"
)

const page = `<!DOCTYPE html><html><head><title>Hi</title><meta charset=utf-8><style>a{color:red}</style>` +
	`<script>var a=1;if(a){b()}</script><script type="application/ld+json">{"a":1}</script></head>` +
	`<body class="x y" data-a='1'><p>One<p>two <b>bold</b> 1 < 2<br/>
<ul><li>a<li>b</ul><pre>
  kept	as
 it was</pre><!-- a
 comment --></body></html>`

const minified = `!function(e,t){"use strict";var n=/[/"]+/g,r={a:1,b:[1,2],"c":function(){return n.test(t)?1:2}};for(var i=0;i<3;i++){e(i)}` +
	"if(r.a/2/3>1){x()}else{y()}// note\nlet s=`a${r.b}c\n  d`;/* block */class A{#p=1;get(){return{z:1}}}var f=async x=>{await x}}(this,0n);"

func TestMarkup(t *testing.T) {
	golden(t, []specimen{
		{name: "html", about: view.About{Type: "text/html; charset=utf-8"}, body: page},
		{name: "html-without-a-type", body: "\n<HTML><Body>x</BODY></html>"},
		{name: "html-with-a-stray-end", about: view.About{Type: "text/html"}, body: "<p>a</b></p></div>"},
		{name: "html-cut", about: view.About{Type: "text/html", Cut: true}, body: page[:60]},
		{name: "xml", about: view.About{Type: "application/soap+xml"}, body: `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "<y>">]><a:e xmlns:a="u" b='>'><c/><d>t &amp; u</d><![CDATA[<raw>]]><e><f>1</f></e></a:e>`},
		{name: "xml-without-a-type", body: `<a><b>1</b></a>`},
		{name: "xml-that-breaks", about: view.About{Type: "text/xml"}, body: `<a><b>1</b><c d="`},
		{name: "css", about: view.About{Type: "text/css"}, body: `@charset "utf-8";@import url(x.css);a:hover,b > c{color:RED;margin:0 1.5em;background:url("a b.png")}@media (min-width:10px){a:focus{color:#fff}}/* c */.d::after{content:"}"}`},
		{name: "javascript", about: view.About{Type: "application/javascript"}, body: minified},
		{name: "javascript-that-breaks", about: view.About{Type: "text/javascript"}, body: "a = 'no end\nb()"},
	})
}

func FuzzXML(f *testing.F) {
	fuzz(f, "xml", view.About{}, `<a b="c"><!-- d --><e/><![CDATA[f]]></a>`, "<!DOCTYPE a []>")
}

func FuzzHTML(f *testing.F) { fuzz(f, "html", view.About{}, page, "<script>", "<p><p></b>") }

func FuzzCSS(f *testing.F) { fuzz(f, "css", view.About{}, "a{b:c;d:url(e)}", "@media x{a{b:c}}/*") }

func FuzzJavaScript(f *testing.F) {
	fuzz(f, "javascript", view.About{}, minified, "`${`${1}`}`", "a/b/c", "}})")
}

func BenchmarkHTML(b *testing.B) {
	bench(b, specimen{view: "html", body: "<div class=a><p>some <b>text</b></p></div>\n"})
}

func BenchmarkXML(b *testing.B) { bench(b, specimen{view: "xml", body: "<a b='c'><d>text</d></a>"}) }

func BenchmarkCSS(b *testing.B) {
	bench(b, specimen{view: "css", body: "a:hover{color:red;margin:0 1em}"})
}

func BenchmarkJavaScript(b *testing.B) {
	bench(b, specimen{view: "javascript", body: "function a(b,c){return b.d(c)/2+[1,{e:'f'}]};"})
}
