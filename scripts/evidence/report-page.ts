/**
 * An audit as one HTML file for people who keep paper: no script, no resource from elsewhere (its own policy forbids both), readable
 * on a phone and in print. Everything that comes from the log or the bucket is text, never markup.
 */
import type { BundleReport, Verdict } from '../../crypto/log/bundle.ts';
import type { Finding } from '../../crypto/log/finding.ts';
import { type ReconcileReport, unseenBy } from '../../crypto/log/reconcile.ts';
import { toHex } from '../../crypto/format/bytes.ts';
import { formatBytes, formatTime } from '../shell/figures.ts';

export interface ReportPage {
  verdict: Verdict;
  report: BundleReport;
  /** What a listing of the bucket showed, where one was given. */
  listing?: ReconcileReport | undefined;
  vkey: string;
  /** Whether the auditor brought the key, or took it on the log's own word. */
  isPinned: boolean;
}

/** Rows of a table that a person reads; `--json` has all. */
const MOST_ROWS = 1000;

const HEADLINES: Record<Verdict, string> = {
  well: 'Every recording that was due was destroyed, in time.',
  exceptions: 'The log is sound, and tells of what was not as promised.',
  violation: 'A promise was broken, or the log contradicts itself.',
};
const WORDS: Record<Verdict, string> = { well: '✓ Well', exceptions: '! Exceptions', violation: '✕ Violation' };

const STYLE = `
:root { color-scheme: light dark; --ink: #1a1d21; --soft: #565d66; --line: #c3c8ce; --paper: #fff; --good: #1b6e3c; --look: #8a5a00; --bad: #a3202c }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a8b0b9; --line: #454c54; --paper: #16181b; --good: #6fce95; --look: #e7b65c; --bad: #ff8f95 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .25rem } h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem }
p { margin: .25rem 0 } .soft { color: var(--soft) }
.verdict { border: 2px solid; border-left-width: .75rem; padding: .75rem 1rem; margin: 1.5rem 0; border-radius: .25rem; font-size: 1.1rem }
.verdict b { margin-right: .75rem; white-space: nowrap }
.verdict.well { border-color: var(--good) } .verdict.exceptions { border-color: var(--look) } .verdict.violation { border-color: var(--bad) }
.verdict b, td.exception, td.violation { font-weight: 600 } .well b { color: var(--good) } .exceptions b, td.exception { color: var(--look) } .violation b, td.violation { color: var(--bad) }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 0 }
dl div { border: 1px solid var(--line); border-radius: .25rem; padding: .5rem .75rem }
dt { color: var(--soft); font-size: .875rem } dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; width: 100% } caption { text-align: left; color: var(--soft); padding-bottom: .25rem }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line) }
td:last-child { overflow-wrap: anywhere }
thead th { border-bottom-color: var(--ink) }
@media (min-width: 40rem) { td:not(:last-child) { white-space: nowrap } }
@media (max-width: 39.99rem) {
  table, caption, tbody, tr, td { display: block } thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  tr { border-bottom: 1px solid var(--line); padding: .5rem 0 } td { border: 0; padding: 0 } td:not(:last-child) { display: inline-block; margin-right: .75rem }
}
code { font: .875rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
@media print { body { max-width: none; padding: 0; font-size: 10pt } thead { display: table-header-group } tr, dl div, .verdict { break-inside: avoid } }
`;

export function renderReportPage({ verdict, report, listing, vkey, isPinned }: ReportPage): string {
  const { checkpoint, findings } = report;
  const all = [...findings, ...(listing?.findings ?? [])];
  const unseen = listing && unseenBy(listing.scope);
  const notes = [
    'That no other copy exists outside the service: a reader to whom the keys were released could have kept one.',
    'That the machines did what the operator signed: a signature makes a false statement lasting evidence, not impossible.',
    'That the clocks were honest, beyond the times at which witnesses cosigned.',
    ...(listing ? [] : ['What the bucket really holds: no listing was given.']),
    ...(unseen === undefined ? [] : [`What the bucket holds beside its objects: the listing shows no ${unseen}.`]),
    ...(isPinned ? [] : ['That this is the log of the service: its key was taken on the log’s own word.']),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Retention audit of ${escape(checkpoint.origin)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Retention audit</h1>
<p>${escape(checkpoint.origin)}, as of ${formatTime(report.now)}</p>
<p class="soft">${report.entries} entries${period(report)}</p>
</header>
<main>
<p class="verdict ${verdict}"><b>${WORDS[verdict]}</b>${HEADLINES[verdict]}</p>
<h2>Obligations</h2>
${figures([
  ['Recordings opened', report.opened],
  ['Destroyed', report.deleted],
  ['Found empty again', report.verified],
  ['Overdue', report.overdue.length],
  ['Destroyed late', report.late],
  ['Second look missing', report.unverified],
  ['Opened by readers', report.releases],
])}
<h2>Operation</h2>
${figures([
  ['Purge runs missed', report.missedRuns],
  ['Gaps in heartbeats', report.heartbeatGaps],
  ['Anomalies open', report.openAnomalies],
  ['Earlier checkpoints borne out', report.consistentCheckpoints],
])}
${listing ? bucketSection(listing) : ''}
<h2>Findings</h2>
${all.length === 0 ? '<p>None.</p>' : findingsTable(all)}
<h2>What this rests on</h2>
<p>Root <code>${toHex(checkpoint.root)}</code> of ${checkpoint.size} entries, signed by <code>${escape(vkey)}</code>${isPinned ? ', the key that the auditor brought' : ''}.</p>
${report.witnesses.map(witnessLine).join('\n')}
<h2>What it does not prove</h2>
<ul>
${notes.map((note) => `<li>${escape(note)}</li>`).join('\n')}
</ul>
</main>
</body>
</html>
`;
}

function witnessLine({ name, cosigned }: BundleReport['witnesses'][number]): string {
  const what = cosigned
    ? `saw ${cosigned.size} entries at ${timeOf(cosigned.at)} by its own clock, and signed that the log had only grown`
    : 'signed none of the checkpoints at hand';
  return `<p>Witness <code>${escape(name)}</code> ${what}.</p>`;
}

function period({ from, until }: BundleReport): string {
  return from === null || until === null ? '' : `, from ${formatTime(from)} to ${formatTime(until)}`;
}

function bucketSection(listing: ReconcileReport): string {
  const { listedMs, objects, bytes, recordings, unowed, kept, missing, scope } = listing;
  return `<h2>Bucket</h2>
<p class="soft">Listed ${formatTime(listedMs)}: ${objects} objects of ${formatBytes(bytes)}.</p>
${figures([
  ['Recordings with objects', recordings],
  ['Objects nobody owes', unowed],
  ['Objects kept after deletion', kept],
  ['Objects lost before their time', missing],
  ...(scope.versions
    ? ([
        ['Noncurrent versions', listing.noncurrent],
        ['Delete markers', listing.markers],
      ] as const)
    : []),
  ...(scope.multiparts ? ([['Unfinished uploads', listing.multiparts]] as const) : []),
])}`;
}

function figures(pairs: readonly (readonly [name: string, value: number])[]): string {
  return `<dl>\n${pairs.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('\n')}\n</dl>`;
}

function findingsTable(findings: readonly Finding[]): string {
  const shown = findings.slice(0, MOST_ROWS);
  const rest = findings.length > shown.length ? `, the first ${shown.length} of ${findings.length}` : '';
  const row = ({ severity, code, index, at, message }: Finding): string =>
    `<tr role="row"><td role="cell" class="${severity}">${severity}</td><td role="cell">${code}</td><td role="cell">${timeOf(at)}</td><td role="cell">${escape(message)}${index === null ? '' : ` <span class="soft">(entry ${index})</span>`}</td></tr>`;
  // The roles stand because a narrow screen lays the table out as blocks, which takes its own semantics away.
  return `<table role="table">
<caption>In the order in which they were found${rest}</caption>
<thead role="rowgroup"><tr role="row">${['Severity', 'Code', 'When', 'What'].map((name) => `<th role="columnheader" scope="col">${name}</th>`).join('')}</tr></thead>
<tbody role="rowgroup">
${shown.map(row).join('\n')}
</tbody>
</table>`;
}

/** A hostile log may hold a time that no calendar has; 0 stands for none. */
function timeOf(ms: number): string {
  return ms > 0 && ms <= 8.64e15 ? formatTime(ms) : '';
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
