/** Giving a recording to a colleague who came later: what is sent is sealed for the colleague's key here. */
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import type { Signer } from '../../crypto/format/ed25519.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import type { ParsedPolicy } from '../../crypto/format/policy.ts';
import { makeGrant } from '../../crypto/seal/grant.ts';
import type { DecryptionKey } from '../../crypto/seal/identity.ts';
import type { Api } from './api.ts';
import type { ReaderPins } from './epoch-check.ts';
import { ClientError } from './errors.ts';
import type { CheckpointWatch } from './pinning.ts';
import { RecordingReader } from './reader.ts';
import { ApiSource } from './source.ts';

export interface GrantPlan {
  api: Api;
  recordingId: string;
  pins: ReaderPins;
  /** The exam's newest, verified: it names the colleague. */
  policy: ParsedPolicy;
  /** The colleague's, 16 bytes. */
  toKeyId: Bytes;
  /** One track only. */
  track?: number;
  decryptionKey: DecryptionKey;
  watch?: CheckpointWatch | undefined;
  /** The granting reader's identity. */
  signer: Signer;
}

/**
 * Grants every epoch, which is logged and cannot be taken back; answers how many there were. Throws `not-reader` for a key that
 * the owner's policy does not name, and what opening the recording throws.
 */
export async function grantRecording(plan: GrantPlan): Promise<number> {
  const { api, recordingId, pins, policy, toKeyId, track, decryptionKey, signer, watch } = plan;
  if (!policy.policy.recipients.some(({ key_id: id }) => id === toBase64Url(toKeyId))) {
    throw new ClientError('not-reader', 'the exam’s owner has not made this key a reader', {
      hint: 'the owner adds it to the exam first (`zeroreel exam update --recipient`)',
    });
  }
  const source = new ApiSource({ api, recordingId, keyIdB64: toBase64Url(decryptionKey.keyId), purpose: 'grant' });
  const nowMs = api.environment.clock.now();
  const reader = await RecordingReader.open({ source, pins, key: decryptionKey, nowMs, watch });
  const { recording } = await source.released();
  for (const { epoch, checked } of reader.epochs) {
    if (!checked) throw new ProtocolError('format', `epoch ${epoch} does not verify; reading the recording tells why`);
    const { grant, wrap } = await makeGrant(
      {
        ...{ open: checked.open, secrets: reader.secrets(epoch), policy, toKeyId },
        ...(track !== undefined && { track }),
        grantedMs: nowMs,
        expiresMs: recording.delete_by_ms,
      },
      signer,
    );
    await api.grant(recordingId, { grant: toBase64Url(grant), wrap: toBase64Url(wrap) });
  }
  return reader.epochs.length;
}
