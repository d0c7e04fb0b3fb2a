"""The template of the report: one HTML file with its style inside, which loads no other file."""

STYLE = """
:root { --ink: #222; --soft: #666; --line: #e2e2e2; --wash: #f7f7f5; --accent: #D55E00; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 Charter, "Bitstream Charter", Georgia, serif; }
main { max-width: 1060px; margin: 0 auto; padding: 3.5rem 1.5rem 5rem; }
h1 { font-size: 2.1rem; line-height: 1.15; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.35rem; margin: 3.6rem 0 .6rem; padding-top: .9rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1.02rem; margin: 2.2rem 0 .4rem; }
p, figcaption { max-width: 46rem; }
.lead { color: var(--soft); font-size: 1.08rem; margin: 0 0 1.4rem; }
nav, table, .chip, .small { font-family: "Helvetica Neue", Helvetica, Arial, sans-serif; }
nav { font-size: .82rem; margin: 1.6rem 0 0; } nav a { color: var(--ink); margin-right: 1.1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; line-height: 1.35; width: 100%;
  font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; color: var(--soft); vertical-align: bottom;
  border-bottom: 1.5px solid var(--ink); }
th, td { padding: .32rem .55rem; } td { text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th.word, td.word { text-align: left; } td.wrap { white-space: normal; }
tr.block td { border-top: 1.5px solid #999; }
td small, td .range { color: var(--soft); font-size: .92em; }
.chip { display: inline-block; padding: .1rem .55rem; border-radius: 1rem; color: #fff;
  font-size: .74rem; font-weight: 600; white-space: nowrap; }
.tally .chip { margin-right: .5rem; font-size: .85rem; padding: .25rem .8rem; }
figure { margin: 1.6rem 0 2.6rem; } figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .92rem; margin-top: .6rem; } figcaption p { margin: .3rem 0; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
code, .literal { font-family: monospace; font-size: .86em; background: var(--wash); padding: .08em .3em;
  border-radius: 3px; overflow-wrap: anywhere; }
.small { color: var(--soft); font-size: .8rem; }
@media print { main { padding: 0; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""

PAGE = """{% macro chip(verdict, text) -%}
<span class="chip" style="background: {{ inks.get(verdict, '#8a8a8a') }}">{{ text }}</span>
{%- endmacro -%}
{% macro words(head) %}{% if head.words %} class="word wrap"{% endif %}{% endmacro %}
{% macro table(sheet) %}
<table><tr>{% if sheet.named %}<th class="word wrap">Model</th>{% endif %}
{% for head in sheet.heads %}
<th{{ words(head) }}>{{ head.text }}{% if head.below %}<br>{{ head.below }}{% endif %}</th>
{% endfor %}</tr>
{% for block in sheet.blocks %}{% for row in block.rows %}
<tr{% if sheet.named and loop.first %} class="block"{% endif %}>{% if sheet.named %}<td class="word wrap">
{%- if loop.first %}<b>{{ block.model }}</b>
{%- if block.stands_for != block.model %}<br>{{ block.stands_for }}{% endif %}{% endif %}</td>{% endif %}
{% for entry in row %}
<td{{ words(sheet.heads[loop.index0]) }}>
{%- if entry.best %}<b>{{ entry.text }}</b>{% else %}{{ entry.text }}{% endif %}</td>
{% endfor %}</tr>
{% endfor %}{% endfor %}
</table>{% if sheet.note %}<p class="small">{{ sheet.note }}</p>{% endif %}
{% endmacro %}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>InTRO, reproduced: {{ scale }}</title>
<style>{{ style }}</style>
</head>
<body><main>
<h1>In-Token Rationality Optimization, reproduced</h1>
<p class="lead">What became of the claims of arXiv 2511.09865 at the scale <b>{{ scale }}</b>.
{%- if stand_ins %} Models and benchmarks are scale models that stand for the paper's; compare directions, not values.
{%- endif %}</p>
<div class="tally">{% for verdict, count in tally %}{{ chip(verdict, count ~ " " ~ verdict) }}{% endfor %}</div>
<nav>{% for anchor, words in sections %}<a href="#{{ anchor }}">{{ words }}</a>{% endfor %}</nav>

<h2 id="claims">Claims</h2>
{% if claims %}
<p>A claim is reproduced when its 95&nbsp;% interval lies wholly on the claimed side, contradicted when it lies wholly
on the other, and inconclusive otherwise.</p>
<div class="scroll"><table>
<tr><th class="word">Claim</th>{% for p in protocols %}<th class="word">{{ p }}</th>{% endfor %}
<th class="word">Measured as</th></tr>
{% for claim in claims %}
<tr><td class="word wrap"><b>{{ claim.statement }}</b></td>
{% for cell in claim.cells %}<td class="word"{% if cell.span > 1 %} colspan="{{ cell.span }}"{% endif %}>
{%- if cell.verdict %}{{ chip(cell.verdict, cell.verdict) }}<br>{{ cell.estimate }}
<span class="range">{{ cell.range }}</span>
{%- endif %}</td>{% endfor %}
<td class="word wrap"><small>{{ claim.measure }}</small></td></tr>
{% endfor %}
</table></div>
{% else %}<p class="small">No claims have been judged.</p>{% endif %}

{% for c in comparison %}
{% if loop.first %}<h2 id="compare">Reported, reference, this run</h2>
<p>Reported is the paper, reference our published run of this scale, this run the one that made this page.</p>
{% endif %}
<h3>{{ c.title }}</h3>
<div class="scroll">{{ table(c.short) }}</div>
{% if c.full %}<details><summary>Every cell</summary><div class="scroll">{{ table(c.full) }}</div></details>{% endif %}
{% endfor %}

{% for t in tables %}
{% if loop.first %}<h2 id="tables">Tables</h2>{% endif %}
<figure id="table-{{ t.name }}"><div class="scroll">{{ table(t.sheet) }}</div>
<figcaption>{{ t.caption }}</figcaption></figure>
{% endfor %}

{% for f in figures %}
{% if loop.first %}<h2 id="figures">Figures</h2>{% endif %}
<figure id="figure-{{ f.name }}"><img alt="{{ f.name }}" width="{{ f.width }}" src="data:image/png;base64,{{ f.data }}">
<figcaption>{{ f.caption }}</figcaption></figure>
{% endfor %}

{% if theory %}<h2 id="theory">Theory</h2>
<p>Each statement is decided symbolically; a counterexample is an equality that one might expect and that fails.</p>
<div class="scroll">{{ table(theory) }}</div>{% endif %}

{% if audit %}<h2 id="audit">Audit of the reported tables</h2><p>{{ audit.sentence }}</p>
{% if audit.findings %}<div class="scroll">{{ table(audit.findings) }}</div>{% endif %}
<details><summary>Every check</summary><div class="scroll">{{ table(audit.every) }}</div></details>{% endif %}

<h2 id="provenance">Provenance</h2><p class="small">{{ provenance }}</p>
</main></body></html>
"""
