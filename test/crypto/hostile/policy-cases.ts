/** Section 14, policies and grants. */
import { concat, fromHex, toBase64Url, utf8, Writer, type Bytes } from '../../../crypto/format/bytes.ts';
import { type Signer } from '../../../crypto/format/ed25519.ts';
import { encodeGrant, type GrantFields } from '../../../crypto/format/grant.ts';
import { hash } from '../../../crypto/format/hash.ts';
import { encodeEncryptionKey, encodeIdentity, formatId } from '../../../crypto/format/ids.ts';
import { ownerHash, policyRecipient, signPolicyBody, type Policy } from '../../../crypto/format/policy.ts';
import { wrapHash } from '../../../crypto/format/wrap.ts';
import { sealWrap } from '../../../crypto/seal/wrap.ts';
import { sequence } from '../knownanswers.ts';
import { type HostileInput } from './cases.ts';
import {
  owner,
  colleague,
  outsider,
  examId,
  NOW,
  item,
  add,
  blob,
  patch,
  flip,
  openWrapCase,
  otherSession,
  elsewhere,
  known,
  open,
  boxText,
} from './author.ts';

export async function policyCases(): Promise<void> {
  const recipient = (identity: Bytes, pk: string, label: string, role: 1 | 2 | 3 = 1) =>
    policyRecipient({ role, pk, identity: encodeIdentity(identity), label });
  const hybridText = encodeEncryptionKey(2, known.hybrid.publicKey);
  const policy: Policy = {
    ...{ v: 1, exam_id: examId, title: 'Algebra', seq: 3, prev_policy_hash: toBase64Url(sequence(32, 0x11)) },
    ...{ owner: encodeIdentity(owner.publicKey), not_before: NOW - 1000, not_after: NOW + 86_400_000 },
    ...{ admission: 'ticket', min_suite: 1, tracks: [{ id: 1, kind: 1, required: true }], retention_days: 30 },
    recipients: [
      await recipient(owner.publicKey, hybridText, 'Instructor'),
      await recipient(colleague.publicKey, boxText, 'Colleague'),
    ],
    ...{ practice: false, capture: {}, notice: { text: 'We record.', contact: 'someone@example.org' } },
    log: {
      origin: 'log.example.org/zeroreel',
      vkey: 'log.example.org/zeroreel+0ff2062b+AcFL2kwJPLHMCVpV3bztcNR0tLN9HsdCg2rgCU35CvzT',
    },
  };
  const bodyOf = (value: unknown): Bytes => utf8(JSON.stringify(value));
  const goodPolicy = await signPolicyBody(bodyOf(policy), [owner.signer]);
  const goodPolicyHash = await hash('policy', bodyOf(policy));

  item(22);
  {
    const other = await sealWrap(sequence(32, 0x41), known.box, known.context, sequence(32, 0x23));
    add(
      'rewrap-other-cek',
      'commitment',
      'a reader wraps another content key to a colleague',
      openWrapCase(other, 'box'),
    );
  }
  const grantFields: GrantFields = {
    ...{ sessionId: open.sessionId, epoch: 0, scope: 1, track: 0, fromIdentity: owner.publicKey },
    ...{ toIdentity: colleague.publicKey, toKeyId: known.box.keyId, policyHash: goodPolicyHash },
    ...{ grantedMs: NOW, expiresMs: NOW + 3_600_000, wrapHash: await wrapHash(known.wrap1) },
  };

  const grantCase = async (change: Partial<GrantFields>, signer: Signer, rest: object = {}): Promise<HostileInput> => ({
    ...{ check: 'grant', record: blob(await encodeGrant({ ...grantFields, ...change }, signer)) },
    ...{ wrap: blob(known.wrap1), policy: blob(goodPolicy), minSuite: 1, at: NOW + 1000 },
    ...rest,
  });
  add(
    'grant-outsider',
    'grant',
    'granted by somebody who is not in the policy',
    await grantCase({ fromIdentity: outsider.publicKey }, outsider.signer),
  );
  add(
    'grant-to-outsider',
    'grant',
    'granted to an identity that is not in the policy',
    await grantCase({ toIdentity: outsider.publicKey }, owner.signer),
  );
  add('grant-forged', 'signature', 'an outsider signs in a reader’s name', await grantCase({}, outsider.signer));

  item(24);
  const pinned = toBase64Url(await ownerHash(owner.publicKey));
  const policyCase = (record: Bytes, change: object = {}): HostileInput => ({
    ...{ check: 'policy', record: blob(record), examId, ownerHash: pinned, minSeq: 3, at: NOW },
    ...change,
  });
  const signed = (body: unknown, ...signers: Signer[]): Promise<Bytes> =>
    signPolicyBody(typeof body === 'string' ? utf8(body) : bodyOf(body), signers.length > 0 ? signers : [owner.signer]);
  /** Puts a body under signatures that were made for another. */
  function transplant(body: Bytes, record: Bytes, original: Bytes): Bytes {
    const tail = record.subarray(9 + original.length);
    return concat(new Writer().bytes(utf8('ZRPL')).u8(1).u32(body.length).bytes(body).finish(), tail);
  }
  const originalBody = bodyOf(policy);
  const added = {
    ...policy,
    recipients: [
      ...policy.recipients,
      await recipient(
        outsider.publicKey,
        encodeEncryptionKey(1, fromHex('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f')),
        'Extra',
      ),
    ],
  };
  add(
    'policy-reserialised',
    'policy',
    'the same JSON with a space',
    policyCase(transplant(utf8(JSON.stringify(policy, null, 1)), goodPolicy, originalBody)),
  );
  add(
    'policy-recipient-added',
    'policy',
    'a recipient added under the old signature',
    policyCase(transplant(bodyOf(added), goodPolicy, originalBody)),
  );
  add(
    'policy-recipient-added-signed',
    'policy',
    'a recipient added and signed by an outsider',
    policyCase(await signed({ ...added, owner: encodeIdentity(outsider.publicKey) }, outsider.signer)),
  );
  add(
    'policy-duplicate-key',
    'policy',
    'min_suite twice',
    policyCase(await signed(JSON.stringify(policy).replace('"min_suite":1', '"min_suite":2,"min_suite":1'))),
  );
  add(
    'policy-duplicate-escaped',
    'policy',
    'the same key twice, once escaped',
    policyCase(await signed(JSON.stringify(policy).replace('"min_suite":1', '"min_suite":2,"min\\u005fsuite":1'))),
  );
  add('policy-older', 'policy', 'a lower seq than the link asks for', policyCase(await signed({ ...policy, seq: 2 })));
  add('policy-expired', 'policy', 'no longer valid', policyCase(goodPolicy, { at: NOW + 86_400_000 }));
  add('policy-early', 'policy', 'not valid yet', policyCase(goodPolicy, { at: NOW - 1001 }));
  add(
    'policy-other-owner',
    'policy',
    'the pinned owner is another',
    policyCase(goodPolicy, { ownerHash: toBase64Url(await ownerHash(outsider.publicKey)) }),
  );
  add(
    'policy-other-exam',
    'policy',
    'of another exam',
    policyCase(goodPolicy, { examId: formatId(sequence(16, 0x12)) }),
  );

  item(48);
  add('grant-expired', 'grant', 'expired', await grantCase({}, owner.signer, { at: NOW + 3_600_000 }));
  add(
    'grant-other-wrap',
    'grant',
    'hands over another wrap',
    await grantCase({}, owner.signer, { wrap: blob(known.wrap2) }),
  );
  add(
    'grant-other-policy',
    'grant',
    'names another policy',
    await grantCase({ policyHash: sequence(32, 1) }, owner.signer),
  );
  const elsewherePolicy = await signPolicyBody(bodyOf({ ...policy, exam_id: otherSession }), [owner.signer]);
  const elsewhereHash = await hash('policy', bodyOf({ ...policy, exam_id: otherSession }));
  add(
    'grant-other-exam',
    'grant',
    'under the policy of another exam of the same owner and readers',
    await grantCase({ policyHash: elsewhereHash }, owner.signer, { policy: blob(elsewherePolicy) }),
  );
  add(
    'grant-other-session',
    'identity',
    'for another session',
    await grantCase({ sessionId: otherSession }, owner.signer),
  );
  add(
    'grant-below-floor',
    'suite',
    'a suite 1 wrap where OPEN asks for 2',
    await grantCase({}, owner.signer, { minSuite: 2 }),
  );
  add(
    'grant-wider',
    'grant',
    'grants a track and hands over the epoch',
    await grantCase({ scope: 2, track: 1 }, owner.signer),
  );
  {
    const moved = await sealWrap(known.cek, known.box, { ...known.context, coreHash: elsewhere }, sequence(32, 0x25));
    add(
      'grant-wrap-elsewhere',
      'grant',
      'the wrap is of another recording',
      await grantCase({ wrapHash: await wrapHash(moved) }, owner.signer, { wrap: blob(moved) }),
    );
  }

  item(49);
  add(
    'policy-key-id',
    'policy',
    'a key id that is not its key’s',
    policyCase(
      await signed({ ...policy, recipients: [{ ...policy.recipients[0]!, key_id: policy.recipients[1]!.key_id }] }),
    ),
  );
  add(
    'policy-suite-lie',
    'policy',
    'a recipient’s suite that is not its key’s',
    policyCase(await signed({ ...policy, recipients: [{ ...policy.recipients[1]!, suite: 2 }] })),
  );
  add(
    'policy-below-floor',
    'policy',
    'a suite 1 recipient under min_suite 2',
    policyCase(await signed({ ...policy, min_suite: 2 })),
  );
  add(
    'policy-no-instructor',
    'policy',
    'administrators only',
    policyCase(await signed({ ...policy, recipients: [{ ...policy.recipients[0]!, role: 2 }] })),
  );
  add('policy-long-retention', 'policy', '31 days', policyCase(await signed({ ...policy, retention_days: 31 })));
  add(
    'policy-unknown-field',
    'policy',
    'a field that nobody knows',
    policyCase(await signed({ ...policy, escrow: true })),
  );
  add(
    'policy-deep',
    'policy',
    'nested 40 deep',
    policyCase(
      await signed(JSON.stringify(policy).replace('"capture":{}', `"capture":${'['.repeat(40)}${']'.repeat(40)}`)),
    ),
  );
  add(
    'policy-proto',
    'policy',
    'a key called __proto__',
    policyCase(await signed(JSON.stringify(policy).replace('"v":1', '"v":1,"__proto__":{"seq":9}'))),
  );
  add(
    'policy-bad-cosigner',
    'policy',
    'a second signature that does not verify',
    policyCase(
      await (async () => {
        const two = await signed(policy, owner.signer, colleague.signer);
        return flip(two, two.length - 1);
      })(),
    ),
  );
  add(
    'policy-same-signer-twice',
    'policy',
    'one owner posing as two',
    policyCase(await signed(policy, owner.signer, owner.signer)),
  );
  add(
    'policy-owner-not-signer',
    'policy',
    'names an owner who did not sign',
    policyCase(await signed({ ...policy, owner: encodeIdentity(colleague.publicKey) })),
  );
  add(
    'policy-not-utf8',
    'policy',
    'a body that is not UTF-8',
    policyCase(await signPolicyBody(patch(originalBody, 20, [0xff]), [owner.signer])),
  );
  add('policy-trailing', 'length', 'a trailing byte', policyCase(concat(goodPolicy, Uint8Array.of(0))));

  item(4);
  add('policy-len-max', 'limit', 'a policy body of 4 GiB', {
    ...{ check: 'policy', examId, ownerHash: toBase64Url(await ownerHash(owner.publicKey)), minSeq: 0, at: NOW },
    record: blob(new Writer().bytes(utf8('ZRPL')).u8(1).u32(0xffffffff).bytes(utf8('{}')).finish()),
  });

  item(0);
  add('honest-policy', 'accepted', 'inside its validity, signed by the pinned owner', policyCase(goodPolicy));
  add(
    'honest-policy-cosigned',
    'accepted',
    'signed by the owner and a colleague',
    policyCase(await signed(policy, owner.signer, colleague.signer)),
  );
  add('honest-grant', 'accepted', 'from one reader of the policy to another', await grantCase({}, owner.signer));
}
