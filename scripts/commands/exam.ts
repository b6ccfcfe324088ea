import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBase64Url } from '../../crypto/format/bytes.ts';
import { decodeIdentity, fingerprint, IDENTITY_SUITE, SUITE_BOX, SUITE_HYBRID } from '../../crypto/format/ids.ts';
import { misspelled } from '../../schema/events.ts';
import { TRACK_KINDS } from '../../crypto/format/open.ts';
import { parsePolicy } from '../../crypto/format/policy.ts';
import type { Identity, DecryptionKey } from '../../crypto/seal/identity.ts';
import {
  examRecipient,
  issueTicket,
  planOf,
  recipientOf,
  requireOwner,
  ROLE_NAMES,
  signExam,
  type ExamRecipient,
  type RecipientRole,
  type TrackKindName,
} from '../../src/client/exam.ts';
import { formatExamLink, parseExamLink } from '../../src/client/link.ts';
import { examsOf } from '../../src/client/listing.ts';
import { fetchPinnedPolicy } from '../../src/client/pinning.ts';
import { sebFile } from '../../src/client/seb-file.ts';
import type { Api } from '../../src/client/api.ts';
import { parseKind } from '../recording/tracks.ts';
import { copy } from './exam-copy.ts';
import {
  command,
  commandGroup,
  KEY_FLAGS,
  parseCount,
  parseTime,
  parseWords,
  required,
  SERVER_FLAGS,
  usageError,
} from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { formatTable, formatTime } from '../shell/figures.ts';
import { openKey, readPublicLines } from '../shell/keys.ts';
import { writePrivateFile } from '../shell/secrets.ts';
import { connect, readExamLink } from '../shell/server.ts';

const DAY_MS = 86_400_000;

const RECIPIENT_FLAGS = {
  recipient: { type: 'string', multiple: true },
  administrator: { type: 'string', multiple: true },
  recovery: { type: 'string', multiple: true },
  label: { type: 'string' },
} as const;

const USAGE_CREATE = `zeroreel exam create --key FILE --title TEXT [--recipient PUB]... [options]

Makes an exam: a policy that says who may read, signed with your key, published on the server. You are a reader yourself. Prints the
exam's link, which pins you as its owner: recorders and readers accept no policy that you did not sign.

  --recipient      an instructor: FILE.pub, or the public line itself; may be given several times
  --administrator  an LMS administrator; --recovery, a key kept offline for the day on which every other is lost: likewise
  --label          how your own name stands in the policy (default: from FILE.pub)
  --track          kind of track to record, in this order (default: webcam, screen, events); kind? marks an optional one
  --from, --until  when recordings may be opened, e.g. 2026-11-23T09:00Z (default: now, for 30 days)
  --days           until a recording is destroyed: 1 to 30 (default 30); --practice destroys after 24 hours
  --min-suite      1 allows readers with X25519 keys (default 2)
  --admission      ticket (default): who holds a seat's link; link: who holds the exam's link
  --platform       whom this learning platform launches, by its id of \`zeroreel lti list\`; its keys of now are pinned. With
                   --deployment, where it has several
  --rule           capture rule for recorders, e.g. chunk_seconds=5
  --notice         file with what students read before recording (default: a text that says what, who and how long)
  --contact        whom students ask

  $ zeroreel exam create --key instructor.key --title 'Physics 101, final' --recipient colleague.pub > physics.link
  owner 9QZX-40WM-7B1R-XF5T-E3KD-0M2P-HV6A-CN8G, 2 readers, published as seq 0`;

const create = command(USAGE_CREATE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ...KEY_FLAGS,
      ...RECIPIENT_FLAGS,
      title: { type: 'string' },
      track: { type: 'string', multiple: true, default: ['webcam', 'screen', 'events'] },
      from: { type: 'string' },
      until: { type: 'string' },
      days: { type: 'string', default: '30' },
      practice: { type: 'boolean', default: false },
      'min-suite': { type: 'string', default: '2' },
      admission: { type: 'string' },
      platform: { type: 'string' },
      deployment: { type: 'string' },
      rule: { type: 'string', multiple: true, default: [] },
      notice: { type: 'string' },
      contact: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const title = required(values.title, 'title');
  const others = await readRecipients(values);
  const tracks = values.track.map(parseTrackRule);
  const capture = Object.fromEntries(values.rule.map((text) => parseRule(text, '--rule')));
  const notBeforeMs = values.from === undefined ? undefined : parseTime(values.from, '--from');
  const untilMs = values.until === undefined ? undefined : parseTime(values.until, '--until');
  const retentionDays = parseCount(values.days, '--days', { from: 1, to: 30 });
  const minSuite = values['min-suite'] === '2' ? SUITE_HYBRID : values['min-suite'] === '1' ? SUITE_BOX : undefined;
  if (minSuite === undefined)
    throw usageError(`--min-suite: expected 1 or 2, found ${JSON.stringify(values['min-suite'])}`);
  const admission = values.platform === undefined ? (values.admission ?? 'ticket') : 'launch';
  if (values.platform !== undefined && values.admission !== undefined) {
    throw usageError('--platform is an admission of its own: leave --admission out');
  }
  if (admission !== 'ticket' && admission !== 'link' && admission !== 'launch') {
    throw usageError(`--admission: expected ticket or link, found ${JSON.stringify(admission)}`);
  }
  if (admission === 'launch' && values.platform === undefined) throw usageError('expected --platform ID');
  const notice = values.notice === undefined ? undefined : await readFile(values.notice, 'utf8');
  const owner = await openKey(shell, values);
  const recipients = [await ownRecipient(owner, values), ...others];
  requireSuites(recipients, minSuite);

  const api = await connect(shell, values);
  const { log, now_ms: now } = await api.service();
  const platform = values.platform === undefined ? undefined : await tenantOf(api, values.platform, values.deployment);
  const signed = await signExam(
    {
      title,
      recipients,
      tracks,
      log,
      retentionDays,
      minSuite,
      admission,
      platform,
      capture,
      practice: values.practice,
      notBeforeMs: notBeforeMs ?? now,
      notAfterMs: untilMs ?? (notBeforeMs ?? now) + 30 * DAY_MS,
      ...(notice !== undefined && { notice }),
      ...(values.contact !== undefined && { contact: values.contact }),
    },
    owner.identity.signer,
  );
  const published = await api.publishPolicy(signed.bytes);
  const link = formatExamLink({ url: api.url, ...signed.pins });
  if (values.json) shell.printJson({ link, ...published });
  else shell.print(link);
  const name = await fingerprint(IDENTITY_SUITE, owner.identity.publicKey);
  shell.say(`owner ${name}, ${recipients.length} readers, published as seq ${published.seq}`);
  if (!recipients.some(({ role }) => role === 'recovery')) {
    shell.say(
      'note: no recovery key; where every reader’s key is lost, nobody opens the recordings. --recovery PUB adds one',
    );
  }
  return EXIT.well;
});

/** What a policy pins of a platform: the tenant, and the keys that it signs with now. */
async function tenantOf(api: Api, id: string, deployment: string | undefined) {
  const found = (await api.platforms()).platforms.find((platform) => platform.id === id);
  if (!found) throw usageError(`--platform: no platform has the id ${JSON.stringify(id)}`);
  const deploymentId = deployment ?? (found.deployments.length === 1 ? found.deployments[0] : undefined);
  if (deploymentId === undefined || !found.deployments.includes(deploymentId)) {
    throw usageError(`--deployment: expected one of ${found.deployments.join(', ') || 'none: add one first'}`);
  }
  return {
    issuer: found.issuer,
    client_id: found.client_id,
    deployment_id: deploymentId,
    keys: found.keys.slice(0, 16),
  };
}

const USAGE_UPDATE = `zeroreel exam update --key FILE --exam LINK [--recipient PUB]...

Publishes the exam's next policy, with more readers, and without those who have revoked their keys: recordings that open from now on are
sealed to these, and \`zeroreel grant\` may give them older ones. Nobody can be taken out of what was recorded. Prints the link that pins the new policy; older links stay valid.

  $ zeroreel exam update --key instructor.key --exam physics.link --recipient assistant.pub > physics-2.link
  3 readers, published as seq 1`;

const update = command(USAGE_UPDATE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ...KEY_FLAGS,
      ...RECIPIENT_FLAGS,
      exam: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const added = await readRecipients(values);
  const link = await readExamLink(shell, values.exam);
  const api = await connect(shell, values, link);
  const { revoked, ...previous } = await fetchPinnedPolicy(api, link, undefined);
  if (added.length === 0 && revoked.length === 0) {
    throw usageError('expected --recipient, --administrator or --recovery; nobody has revoked a key');
  }
  for (const { label } of revoked) shell.say(`left out: ${label}, whose key was revoked`);
  const standing = previous.policy.recipients.filter((recipient) => !revoked.includes(recipient));
  const recipients = [...standing.map(recipientOf), ...added];
  requireSuites(recipients, previous.policy.min_suite);
  const owner = await openKey(shell, values);
  await requireOwner(owner.identity.publicKey, link);
  const signed = await signExam({ ...planOf(previous), recipients }, owner.identity.signer, previous);
  const published = await api.publishPolicy(signed.bytes);
  const newer = formatExamLink({ url: link.url, ...signed.pins });
  if (values.json) shell.printJson({ link: newer, ...published });
  else shell.print(newer);
  shell.say(`${recipients.length} readers, published as seq ${published.seq}`);
  return EXIT.well;
});

const USAGE_SHOW = `zeroreel exam show --exam LINK [--json]

Fetches the exam's newest policy, checks it against the owner whom the link pins, and prints it.

  $ zeroreel exam show --exam physics.link
  Physics 101, final (seq 0, ticket, 30 days)
  owner       9QZX-40WM-7B1R-XF5T-E3KD-0M2P-HV6A-CN8G
  instructor  Instructor, Physics  suite 2  GmB1c0Yt8m5rUuVbN3qWgA`;

const show = command(USAGE_SHOW, async (words, shell) => {
  const { values } = parseWords(
    words,
    { ...SERVER_FLAGS, exam: { type: 'string' }, json: { type: 'boolean', default: false } },
    { from: 0, to: 0, names: '' },
  );
  const link = await readExamLink(shell, values.exam);
  const { policy, revoked } = await fetchPinnedPolicy(await connect(shell, values, link), link, undefined);
  if (values.json) {
    shell.printJson(policy);
    return EXIT.well;
  }
  const life = policy.practice ? '24 hours, practice' : `${policy.retention_days} days`;
  shell.print(`${policy.title} (seq ${policy.seq}, ${policy.admission}, ${life})`);
  shell.print(`opens ${formatTime(policy.not_before)} to ${formatTime(policy.not_after)}`);
  shell.print(`owner ${await fingerprint(IDENTITY_SUITE, decodeIdentity(policy.owner))}`);
  const isRevoked = (id: string): boolean => revoked.some(({ key_id }) => key_id === id);
  const readers = policy.recipients.map(({ role, label, suite, key_id: id }) => [
    ROLE_NAMES[role],
    label,
    `suite ${suite}`,
    isRevoked(id) ? `${id} revoked` : id,
  ]);
  for (const line of formatTable(['reader', 'label', 'suite', 'key id'], readers)) shell.print(line);
  const tracks = policy.tracks.map(({ id, kind, required: isRequired }) => [
    id,
    TRACK_KINDS[kind],
    isRequired ? 'required' : 'optional',
  ]);
  for (const line of formatTable(['track', 'kind', ''], tracks)) shell.print(line);
  return EXIT.well;
});

const USAGE_LIST = `zeroreel exam list [--json]

  $ zeroreel exam list
  exam                    seq  title
  0aH3pSxJQ2m8Yk5vZt1uBg    0  Physics 101, final`;

const list = command(USAGE_LIST, async (words, shell) => {
  const { values } = parseWords(
    words,
    { ...SERVER_FLAGS, json: { type: 'boolean', default: false } },
    { from: 0, to: 0, names: '' },
  );
  const api = await connect(shell, values);
  const rows: (string | number)[][] = [];
  for await (const { exam_id: id, seq, policy } of examsOf(api)) {
    const { policy: parsed } = await parsePolicy(fromBase64Url(policy), { examId: id });
    if (values.json) shell.printJson({ exam_id: id, seq, title: parsed.title, owner: parsed.owner });
    else rows.push([id, seq, parsed.title]);
  }
  if (!values.json) for (const line of formatTable(['exam', 'seq', 'title'], rows)) shell.print(line);
  return EXIT.well;
});

const USAGE_TICKETS = `zeroreel exam tickets --key FILE --exam LINK [--out DIR] [--until TIME] [--first N] [--accommodate SEAT:NAME=VALUE]... N

Makes N seat tickets, signed with your key, and prints one line per seat: the seat's number and its link. A link lets one student
record and opens nothing: hand out each to one student. With --out, each goes to a file of its own, DIR/0001.link. Needs no server.

  --accommodate  what is granted to one seat, signed into its ticket; student and readers see it. tracks_off (webcam, screen, microphone,
                 events, photo), rules_off (such as full_screen) and flags_ignored (such as focus_lost) take lists with commas; anything
                 else, such as extra_minutes=30, is shown as it is. The server sees a ticket when it is used: no names, no diagnoses

  $ zeroreel exam tickets --key instructor.key --exam physics.link --out seats --accommodate 7:extra_minutes=30 --accommodate 7:tracks_off=webcam 120
  wrote 120 tickets to seats, 0001 to 0120, valid until 2026-12-23 09:00 UTC`;

const MOST_TICKETS = 100_000;

const tickets = command(USAGE_TICKETS, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      ...KEY_FLAGS,
      exam: { type: 'string' },
      out: { type: 'string' },
      until: { type: 'string' },
      first: { type: 'string', default: '1' },
      accommodate: { type: 'string', multiple: true, default: [] },
      force: { type: 'boolean', default: false },
    },
    { from: 1, to: 1, names: 'the number of tickets' },
  );
  const count = parseCount(positionals[0]!, 'N', { from: 1, to: MOST_TICKETS });
  const first = parseCount(values.first, '--first', { from: 1, to: 999_999_999 - count });
  const granted = readAccommodations(values.accommodate, { first, last: first + count - 1 });
  const expiresMs = values.until === undefined ? Date.now() + 30 * DAY_MS : parseTime(values.until, '--until');
  const link = await readExamLink(shell, values.exam);
  const { identity } = await openKey(shell, values);
  await requireOwner(identity.publicKey, link);
  if (values.out !== undefined) await mkdir(values.out, { recursive: true, mode: 0o700 });
  const width = Math.max(4, String(first + count - 1).length);
  for (let number = first; number < first + count; number++) {
    const seat = String(number).padStart(width, '0');
    const accommodations = granted.get(number);
    const plan = { examId: link.examId, seat, expiresMs, ...(accommodations && { accommodations }) };
    const ticket = await issueTicket(plan, identity.signer);
    const text = formatExamLink({ ...link, ticket });
    if (values.out === undefined) shell.print(`${seat}\t${text}`);
    else await writePrivateFile(join(values.out, `${seat}.link`), `${text}\n`, values.force);
  }
  if (values.out !== undefined) {
    const last = String(first + count - 1).padStart(width, '0');
    shell.say(
      `wrote ${count} tickets to ${values.out}, ${String(first).padStart(width, '0')} to ${last}, valid until ${formatTime(expiresMs)}`,
    );
  }
  return EXIT.well;
});

const USAGE_SEB = `zeroreel exam seb [--force] FILE...

Writes beside each link's FILE a configuration of Safe Exam Browser that starts at this link: 0001.seb beside 0001.link. A seat's file
holds its ticket, so it is for that student only. Needs no server and no key.

  $ zeroreel exam seb seats/0001.link seats/0002.link
  seats/0001.seb
  seats/0002.seb`;

const seb = command(USAGE_SEB, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    { force: { type: 'boolean', default: false } },
    { from: 1, to: MOST_TICKETS, names: 'a FILE with an exam link' },
  );
  for (const path of positionals) {
    const link = parseExamLink((await readFile(path, 'utf8')).trim());
    const file = `${path.replace(/\.link$/, '')}.seb`;
    await writePrivateFile(file, await sebFile(formatExamLink(link)), values.force);
    shell.print(file);
  }
  return EXIT.well;
});

/** By the seat's number; throws `usage` for what nobody would follow. */
function readAccommodations(given: readonly string[], seats: { first: number; last: number }) {
  const granted = new Map<number, Record<string, boolean | number | string>>();
  for (const text of given) {
    const [, seat, rule] = /^(\d{1,9}):(.+)$/.exec(text) ?? [];
    if (seat === undefined || rule === undefined)
      throw usageError(`--accommodate: expected SEAT:NAME=VALUE, found ${JSON.stringify(text)}`);
    const number = Number(seat);
    if (number < seats.first || number > seats.last)
      throw usageError(
        `--accommodate: seat ${number} is not among those that are made, ${seats.first} to ${seats.last}`,
      );
    const [name, value] = parseRule(rule, '--accommodate');
    granted.set(number, { ...granted.get(number), [name]: value });
  }
  const unknown = [...granted.values()].flatMap(misspelled);
  if (unknown.length > 0) throw usageError(`--accommodate: nobody would follow ${unknown.join(', ')}`);
  return granted;
}

async function ownRecipient(
  { identity, decryptionKey }: { identity: Identity; decryptionKey: DecryptionKey },
  flags: { key?: string | undefined; label?: string | undefined },
): Promise<ExamRecipient> {
  const beside =
    flags.label === undefined && flags.key !== undefined
      ? await readPublicLines(`${flags.key}.pub`).catch(() => [])
      : [];
  const { suite, publicKey } = decryptionKey;
  return examRecipient('instructor', {
    identity: identity.publicKey,
    suite,
    publicKey,
    label: flags.label ?? beside[0]?.label ?? '',
  });
}

async function readRecipients(flags: Partial<Record<RecipientRole | 'recipient', string[]>>): Promise<ExamRecipient[]> {
  const recipients: ExamRecipient[] = [];
  for (const [role, given] of [
    ['instructor', flags.recipient ?? []],
    ['administrator', flags.administrator ?? []],
    ['recovery', flags.recovery ?? []],
  ] as const) {
    for (const textOrPath of given) {
      for (const line of await readPublicLines(textOrPath)) recipients.push(examRecipient(role, line));
    }
  }
  return recipients;
}

function requireSuites(recipients: readonly ExamRecipient[], minSuite: number): void {
  if (minSuite > SUITE_BOX && recipients.some(({ key }) => key.startsWith('zrbox1'))) {
    throw usageError(
      'a reader has a suite 1 key, and the exam asks for suite 2',
      '--min-suite 1 allows X25519 alone, for every reader of this exam',
    );
  }
}

function parseTrackRule(text: string): { kind: TrackKindName; required: boolean } {
  const isOptional = text.endsWith('?');
  return { kind: TRACK_KINDS[parseKind(isOptional ? text.slice(0, -1) : text)], required: !isOptional };
}

function parseRule(text: string, flag: string): [string, number | boolean | string] {
  const [, name, value] = /^([a-z_]{1,64})=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw usageError(`${flag}: expected name=value, found ${JSON.stringify(text)}`);
  if (value === 'true' || value === 'false') return [name, value === 'true'];
  return [name, /^\d+(\.\d+)?$/.test(value) ? Number(value) : value];
}

export const exam = commandGroup(
  'exam',
  `zeroreel exam create | update | show | list | tickets | seb | copy

  $ zeroreel exam create --key instructor.key --title 'Physics 101, final' > physics.link
  $ zeroreel exam tickets --key instructor.key --exam physics.link --out seats 120`,
  { create, update, show, list, tickets, seb, copy },
);
