import { toBase64Url } from '../../crypto/format/bytes.ts';
import { ATTEST_TICKET, parseOpen } from '../../crypto/format/open.ts';
import { parseTicket } from '../../crypto/format/ticket.ts';
import { erasureRequest } from '../../schema/api.ts';
import type { Store } from '../../src/server/ports.ts';
import { command, parseWords, required, SERVER_FLAGS, usageError } from '../shell/arguments.ts';
import { BESIDE_FLAGS, settingsBeside, withDatabases } from '../shell/beside.ts';
import { EXIT } from '../shell/exits.ts';
import { connect, readExamLink, readTicketLink } from '../shell/server.ts';

const USAGE = `zeroreel erase --exam LINK (--seat SEAT | --ticket FILE) [--reason student|owner|operator] [--dry-run] [--data DIR] [--json]

Destroys, now, what one person recorded in an exam: as on request, with the same log entries, the same proof, and nothing to bring it back.
The server knows nobody's name: a person is a seat, as \`zeroreel exam tickets\` numbered it, or the ticket with which they recorded. Who
sat where is in your own list. This runs beside the server, whose database says which recording was opened from which seat.

  --reason   who asked (default: student); the log keeps it
  --dry-run  names the recordings, and destroys nothing

exit codes: 0 destroyed, or being destroyed; 1 there is no recording of this seat

  $ zeroreel erase --exam physics.link --seat 0017 --data /var/lib/zeroreel
  pVnGJ0mYQ1e6d0aXwz2u7A  erased`;

const PAGE = 100;

export const erase = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ...BESIDE_FLAGS,
      exam: { type: 'string' },
      seat: { type: 'string' },
      ticket: { type: 'string' },
      reason: { type: 'string', default: 'student' },
      'dry-run': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const request = erasureRequest.safeParse({ reason: values.reason });
  if (!request.success) throw usageError(`--reason: expected student, owner or operator`);
  if ((values.seat === undefined) === (values.ticket === undefined)) throw usageError('expected --seat or --ticket');
  const isDry = values['dry-run'];
  const ticketLink = values.ticket === undefined ? undefined : await readTicketLink(shell, values.ticket);
  const link = ticketLink ?? (await readExamLink(shell, values.exam));
  const ticketKey = ticketLink?.ticket && toBase64Url(parseTicket(ticketLink.ticket.ticket).ticketKey);
  const isTheirs = (seat: string, key: string): boolean =>
    ticketKey === undefined ? seat === required(values.seat, 'seat') : key === ticketKey;
  const config = settingsBeside(shell, values);
  const found = await withDatabases(shell, config, ({ store }) => recordingsFrom(store, link.examId, isTheirs));
  const api = await connect(shell, values, link);
  for (const [done, { id, isGone }] of found.entries()) {
    shell.progress(`${done} of ${found.length}`);
    if (!isDry && !isGone) await api.erase(id, request.data);
    if (!values.json) shell.print(`${id}  ${isGone ? 'destroyed before' : isDry ? 'would be erased' : 'erased'}`);
  }
  shell.progress('');
  if (values.json) shell.printJson({ dry_run: isDry, recordings: found.map(({ id }) => id) });
  if (found.length === 0) shell.say('there is no recording of this seat here, or it was destroyed before');
  return found.length === 0 ? EXIT.unwell : EXIT.well;
});

/** Recordings that were opened with a ticket of which this holds. Of a destroyed one nothing is left that says from where. */
async function recordingsFrom(
  store: Store,
  examId: string,
  isTheirs: (seat: string, ticketKey: string) => boolean,
): Promise<{ id: string; isGone: boolean }[]> {
  const found: { id: string; isGone: boolean }[] = [];
  let cursor: string | undefined;
  for (;;) {
    const page = await store.recordings(examId, PAGE, cursor);
    for (const { id, state } of page) {
      const [first] = await store.epochs(id);
      const { type, bytes } = first ? parseOpen(first.open).attestation : { type: 0, bytes: new Uint8Array() };
      if (type !== ATTEST_TICKET) continue;
      const { seat, ticketKey } = parseTicket(bytes.subarray(0, bytes.length - SIGNATURE_BYTES));
      if (isTheirs(seat, toBase64Url(ticketKey)))
        found.push({ id, isGone: state === 'deleted' || state === 'verified' });
    }
    if (page.length < PAGE) return found;
    cursor = page.at(-1)!.id;
  }
}

/** The ticket's use, which follows it (PROTOCOL.md section 6.1). */
const SIGNATURE_BYTES = 64;
