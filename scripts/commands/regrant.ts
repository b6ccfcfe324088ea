import { equal, fromBase64Url, toBase64Url } from '../../crypto/format/bytes.ts';
import { encodeIdentity, keyId } from '../../crypto/format/ids.ts';
import { ownerHash } from '../../crypto/format/policy.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import type { Api } from '../../src/client/api.ts';
import { ApiError } from '../../src/client/errors.ts';
import { examRecipient, planOf, recipientOf, ROLE_NAMES, signExam } from '../../src/client/exam.ts';
import { grantRecording } from '../../src/client/granting.ts';
import { formatExamLink } from '../../src/client/link.ts';
import { recordingsOf } from '../../src/client/listing.ts';
import { fetchPinnedPolicy, watchLog } from '../../src/client/pinning.ts';
import { command, KEY_FLAGS, parseWords, required, SERVER_FLAGS } from '../shell/arguments.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { openKey, readPublicLines } from '../shell/keys.ts';
import { seenLogs } from '../shell/seen-logs.ts';
import { connect, readExamLink } from '../shell/server.ts';

const USAGE = `zeroreel key regrant --key OLD --exam LINK --to NEW.pub [--dry-run] [--json]

Puts a reader's new key into the place of the old one in an exam: publishes the exam's next policy, in which NEW stands where OLD
stood, and gives NEW every recording that OLD opens. OLD opens each recording here, and what is sent is sealed to NEW. Only the exam's
owner can publish a policy; another reader asks the owner for \`zeroreel exam update --recipient NEW.pub\` first. Each grant is logged.
Run again after a failure, it goes on with what is missing; afterwards OLD may be revoked.

  --dry-run  counts what there is to grant; publishes and grants nothing

exit codes: 0 NEW opens all that OLD did, 1 some could not be granted

  $ zeroreel key rotate --key instructor.key instructor-2027.key
  $ zeroreel key regrant --key instructor.key --exam physics.link --to instructor-2027.key.pub > physics-2.link
  granted 118 recordings, 0 had been granted before, 0 are sealed to other keys, 0 failed
  $ zeroreel key revoke --key instructor.key`;

export const regrant = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ...KEY_FLAGS,
      exam: { type: 'string' },
      to: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const [line, ...others] = await readPublicLines(required(values.to, 'to'));
  if (!line || others.length > 0) throw new CommandError('usage', 'public-line', '--to: expected one public line');
  const link = await readExamLink(shell, values.exam);
  const { decryptionKey, identity } = await openKey(shell, values);
  if (!equal(line.identity, identity.publicKey)) {
    throw new CommandError(
      'usage',
      'other-identity',
      'the new key is of another identity',
      '`zeroreel key rotate` keeps the identity; a colleague is given recordings by `zeroreel grant`',
    );
  }
  const isDry = values['dry-run'];
  const api = await connect(shell, values, link);
  const oldId = toBase64Url(decryptionKey.keyId);
  const toKeyId = await keyId(line.suite, line.publicKey);
  const newId = toBase64Url(toKeyId);

  let pins = link;
  const newest = await fetchPinnedPolicy(api, link, undefined);
  const { recipients } = newest.policy;
  if (!recipients.some(({ key_id: id }) => id === newId)) {
    if (!equal(await ownerHash(identity.publicKey), link.ownerHash)) {
      throw new CommandError(
        'key',
        'not-owner',
        'the exam\u2019s owner has not made the new key a reader',
        '`zeroreel exam update --recipient` adds it; then run this again',
      );
    }
    const next = recipients.map((recipient) =>
      recipient.key_id === oldId
        ? examRecipient(ROLE_NAMES[recipient.role], { ...line, label: line.label || recipient.label })
        : recipientOf(recipient),
    );
    if (!recipients.some(({ key_id: id }) => id === oldId)) next.push(examRecipient('instructor', line));
    if (!isDry) {
      const signed = await signExam({ ...planOf(newest), recipients: next }, identity.signer, newest);
      const { seq } = await api.publishPolicy(signed.bytes);
      pins = { ...link, minSeq: seq };
      shell.say(`${encodeIdentity(identity.publicKey).slice(0, 12)}... reads with ${newId} from policy ${seq} on`);
    }
  }

  const policy = isDry ? newest : await fetchPinnedPolicy(api, pins, undefined);
  const watch = watchLog(api, seenLogs(shell));
  const counts = { granted: 0, before: 0, others: 0, failed: 0 };
  for await (const { recording_id: recordingId, state, epochs } of recordingsOf(api, link.examId)) {
    if (state === 'purging' || state === 'deleted' || state === 'verified') continue;
    shell.progress(`${counts.granted} granted, ${counts.before} before, ${counts.others} of other keys`);
    if ((await grantedEpochs(api, recordingId, newId)) >= epochs) counts.before++;
    else if (isDry) counts.granted++;
    else {
      try {
        const { ownerHash: owner, examId } = link;
        await grantRecording({
          ...{ api, recordingId, policy, toKeyId, decryptionKey, signer: identity.signer, watch },
          pins: { ownerHash: owner, examId },
        });
        counts.granted++;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        // Opened after the policy that names the new key: nothing is to be done.
        if (error.code === 'reader-unknown') counts.others++;
        else {
          counts.failed++;
          shell.say(`${recordingId}: ${error.message}`);
        }
      }
    }
  }
  shell.progress('');
  const newer = formatExamLink({ url: link.url, examId: link.examId, ownerHash: link.ownerHash, minSeq: pins.minSeq });
  const { granted, before, others: other, failed } = counts;
  const told = `${granted} recordings, ${before} had been granted before, ${other} are sealed to other keys, ${failed} failed`;
  if (values.json) shell.printJson({ dry_run: isDry, link: newer, ...counts });
  else {
    if (!isDry) shell.print(newer);
    shell.say(isDry ? `to grant: at most ${told}` : `granted ${told}`);
  }
  return failed === 0 ? EXIT.well : EXIT.unwell;
});

/** How many epochs the public log says were granted to this key. */
async function grantedEpochs(api: Api, recordingId: string, newId: string): Promise<number> {
  const { entries } = await api.receipt(recordingId);
  const epochs = new Set<number>();
  for (const { entry } of entries) {
    const decoded = decodeEntry(fromBase64Url(entry));
    if (decoded.type === 'grant.added' && decoded.to_key_id === newId) epochs.add(decoded.epoch);
  }
  return epochs.size;
}
