import { toBase64Url } from '../../crypto/format/bytes.ts';
import { keyId } from '../../crypto/format/ids.ts';
import { grantRecording } from '../../src/client/granting.ts';
import { fetchPinnedPolicy, watchLog } from '../../src/client/pinning.ts';
import { command, KEY_FLAGS, parseCount, parseWords, required, SERVER_FLAGS } from '../shell/arguments.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { openKey, readPublicLines } from '../shell/keys.ts';
import { seenLogs } from '../shell/seen-logs.ts';
import { connect, readExamLink } from '../shell/server.ts';
import { parseRecordingId } from './fetch.ts';

const USAGE = `zeroreel grant --key FILE --exam LINK --to PUB [--track ID] [--json] RECORDING

Gives a recording, or one track of it, to a colleague who came later: your key opens it here, and what is sent is sealed to the
colleague's key. The colleague must be in a policy that the exam's owner signed (\`zeroreel exam update\`). A grant is logged and
cannot be taken back.

  $ zeroreel exam update --key instructor.key --exam physics.link --recipient assistant.pub > physics-2.link
  $ zeroreel grant --key instructor.key --exam physics-2.link --to assistant.pub pVnGJ0mYQ1e6d0aXwz2u7A
  granted 2 epochs to a colleague`;

export const grant = command(USAGE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ...KEY_FLAGS,
      exam: { type: 'string' },
      to: { type: 'string' },
      track: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    { from: 1, to: 1, names: 'one RECORDING' },
  );
  const recordingId = parseRecordingId(positionals[0]!);
  const track = values.track === undefined ? undefined : parseCount(values.track, '--track', { from: 0, to: 0xffff });
  const [reader, ...others] = await readPublicLines(required(values.to, 'to'));
  if (!reader || others.length > 0)
    throw new CommandError('usage', 'public-line', `--to: expected one public line, found ${others.length + 1}`);
  const toKeyId = await keyId(reader.suite, reader.publicKey);
  const link = await readExamLink(shell, values.exam);
  const { decryptionKey, identity } = await openKey(shell, values);
  const api = await connect(shell, values, link);
  const policy = await fetchPinnedPolicy(api, link, undefined);
  const { ownerHash, examId } = link;
  const granted = await grantRecording({
    ...{ api, recordingId, policy, toKeyId, decryptionKey, signer: identity.signer, pins: { ownerHash, examId } },
    watch: watchLog(api, seenLogs(shell)),
    ...(track !== undefined && { track }),
  });
  if (values.json) shell.printJson({ recording_id: recordingId, to_key_id: toBase64Url(toKeyId), epochs: granted });
  else
    shell.print(`granted ${granted} ${granted === 1 ? 'epoch' : 'epochs'} to ${reader.label || toBase64Url(toKeyId)}`);
  return EXIT.well;
});
