/** Section 14, heads and receipts. */
import { concat, toHex, type Bytes } from '../../../crypto/format/bytes.ts';
import { type Signer } from '../../../crypto/format/ed25519.ts';
import { hash } from '../../../crypto/format/hash.ts';
import { encodeHead, headHash, parseHead, type HeadFields, type HeadTrack } from '../../../crypto/format/head.ts';
import { encodeReceipt } from '../../../crypto/format/receipt.ts';
import { sequence } from '../knownanswers.ts';
import { type HostileInput } from './cases.ts';
import {
  owner,
  outsider,
  log,
  NOW,
  item,
  add,
  blob,
  patch,
  flip,
  smallHash,
  otherSession,
  openDigest,
  chunk0,
  chunk1,
  recorder,
  open,
} from './author.ts';

export async function headCases(): Promise<void> {
  const track = (id: number, count: number, lastHash: Bytes, state: 1 | 2 | 3 = 1): HeadTrack => ({
    track: id,
    state,
    count,
    last: lastHash,
  });
  const headFields: HeadFields = {
    ...{
      isClose: false,
      reason: 0,
      sessionId: open.sessionId,
      epoch: 0,
      headSeq: 0,
      prev: openDigest,
      wallMs: NOW + 6000,
    },
    ...{
      monoMs: 6000,
      beaconSize: 0,
      beaconRoot: new Uint8Array(32),
      tracks: [track(1, 1, chunk0.entryHash), track(2, 0, openDigest)],
    },
  };
  const head = (change: Partial<HeadFields>, signer: Signer = recorder): Promise<Bytes> =>
    encodeHead({ ...headFields, ...change }, signer);
  const head0 = await head({});
  const head0Hash = await headHash(parseHead(head0));
  const next = { headSeq: 1, prev: head0Hash, wallMs: NOW + 7000, monoMs: 7000 };
  const headsCase = (...records: Bytes[]): HostileInput => ({ check: 'heads', records: records.map(blob) });
  const resignHead = async (record: Bytes): Promise<Bytes> => {
    const body = record.slice(0, -64);
    return concat(body, await recorder.sign('head', await hash('head', body)));
  };
  item(39);
  add(
    'head-count-back',
    'seq',
    'a count goes back',
    headsCase(head0, await head({ ...next, tracks: [track(1, 0, openDigest), track(2, 0, openDigest)] })),
  );
  add(
    'head-track-vanishes',
    'seq',
    'a track is missing',
    headsCase(head0, await head({ ...next, tracks: [track(1, 2, chunk1.entryHash)] })),
  );
  add('head-skipped', 'seq', 'head 1 is missing', headsCase(head0, await head({ ...next, headSeq: 2 })));
  add('head-not-first', 'seq', 'begins with head 1', headsCase(await head({ headSeq: 1 })));
  item(40);
  add('head-fork', 'equivocation', 'two heads with one head_seq', headsCase(head0, await head({ wallMs: NOW + 6001 })));
  add(
    'head-other-last',
    'equivocation',
    'another last chunk at the same count',
    headsCase(head0, await head({ ...next, tracks: [track(1, 1, smallHash), track(2, 0, openDigest)] })),
  );
  item(41);
  add(
    'head-after-close',
    'final',
    'a head after CLOSE',
    headsCase(
      ...(await (async () => {
        const closing = await head({ isClose: true, reason: 1 });
        return [closing, await head({ ...next, prev: await headHash(parseHead(closing)) })];
      })()),
    ),
  );
  add(
    'head-track-reopened',
    'final',
    'an ended track goes on',
    headsCase(
      ...(await (async () => {
        const ended = await head({ tracks: [track(1, 1, chunk0.entryHash, 2), track(2, 0, openDigest)] });
        return [
          ended,
          await head({
            ...next,
            prev: await headHash(parseHead(ended)),
            tracks: [track(1, 2, chunk1.entryHash), track(2, 0, openDigest)],
          }),
        ];
      })()),
    ),
  );
  item(42);
  add(
    'head-chain',
    'chain',
    'another predecessor',
    headsCase(head0, await head({ ...next, prev: sequence(32, 0x99) })),
  );
  add(
    'head-first-chain',
    'chain',
    'head 0 does not follow the open record',
    headsCase(await head({ prev: sequence(32, 0x99) })),
  );
  add(
    'head-zero-count',
    'chain',
    'no chunk, yet a last hash',
    headsCase(await head({ tracks: [track(1, 0, smallHash)] })),
  );
  item(43);
  add('head-reason', 'format', 'a reason without CLOSE', headsCase(await resignHead(patch(head0, 6, [1]))));
  add('head-close-no-reason', 'format', 'CLOSE without a reason', headsCase(await resignHead(patch(head0, 5, [1]))));
  add('head-flag', 'format', 'flag bit 1', headsCase(await resignHead(patch(head0, 5, [2]))));
  add(
    'head-other-session',
    'identity',
    'a head of another session',
    headsCase(await head({ sessionId: otherSession })),
  );
  add('head-other-signer', 'signature', 'signed by a reader', headsCase(await head({}, owner.signer)));

  item(44);
  const receipt = await encodeReceipt(
    {
      state: 1,
      sessionId: open.sessionId,
      epoch: 0,
      headSeq: 0,
      headHash: head0Hash,
      serverMs: NOW,
      deleteByMs: NOW + 2_592_000_000,
      openedPosition: 7,
    },
    log,
  );
  const receiptCase = (record: Bytes, logKey: Bytes = log.publicKey): HostileInput => ({
    check: 'receipt',
    record: blob(record),
    logKey: toHex(logKey),
  });
  add('receipt-other-log', 'signature', 'another log’s receipt', receiptCase(receipt, outsider.publicKey));
  add(
    'receipt-delete-by',
    'signature',
    'delete_by put off by a millisecond',
    receiptCase(flip(receipt, 4 + 4 + 24 + 32 + 15)),
  );
  add('receipt-state', 'format', 'state 3', receiptCase(patch(receipt, 5, [3])));
  add('receipt-long', 'length', 'a trailing byte', receiptCase(concat(receipt, Uint8Array.of(0))));

  item(0);
  add(
    'honest-heads',
    'accepted',
    'two heads, the second one closing',
    headsCase(head0, await head({ ...next, isClose: true, reason: 1 })),
  );
  add('honest-receipt', 'accepted', 'a receipt of this log', receiptCase(receipt));
}
