/**
 * What lies in a case file and no single reader has use for: the wraps of the other readers, and the copy of the checkpoint. It is
 * part of the evidence all the same, so `zeroreel verify` holds it against what was signed.
 */
import { equal, fromUtf8 } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { wrapHash } from '../../crypto/format/wrap.ts';
import { parseProof } from '../../crypto/log/proof.ts';
import type { CaseFolder } from '../../src/client/casefile.ts';
import type { RecordingReader } from '../../src/client/reader.ts';
import type { Problem } from '../../src/client/verdict.ts';

export async function checkRemainder(folder: CaseFolder, reader: RecordingReader): Promise<Problem[]> {
  return [...(await checkWraps(folder, reader)), ...(await checkCheckpoint(folder))];
}

async function checkWraps(folder: CaseFolder, reader: RecordingReader): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const { epoch, checked } of reader.epochs) {
    if (!checked) continue;
    for (const name of await folder.list(`epochs/${epoch}/wraps`)) {
      const digest = await wrapHash((await folder.read(`epochs/${epoch}/wraps/${name}`))!);
      if (checked.open.wrapHashes.some((listed) => equal(listed, digest))) continue;
      problems.push({ code: 'wrap', message: `epochs/${epoch}/wraps/${name} is not a wrap that the recorder made` });
    }
  }
  return problems;
}

async function checkCheckpoint(folder: CaseFolder): Promise<Problem[]> {
  const copy = await folder.read('log/checkpoint');
  if (!copy) return [{ code: 'log', message: 'the case file lacks log/checkpoint' }];
  for (const name of await folder.list('log/proofs')) {
    if (!name.endsWith('.tlog-proof')) continue;
    if ((await isCheckpointOf(folder, `log/proofs/${name}`, copy)) === false) {
      return [{ code: 'log', message: 'log/checkpoint is not the one that the proofs lead to' }];
    }
  }
  return [];
}

/** Undefined for a proof that cannot be read: the reader has told that already. */
async function isCheckpointOf(folder: CaseFolder, path: string, copy: Uint8Array): Promise<boolean | undefined> {
  try {
    return parseProof(fromUtf8((await folder.read(path))!)).checkpoint === fromUtf8(copy);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return undefined;
  }
}
