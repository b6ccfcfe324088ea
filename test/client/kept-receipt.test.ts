import { encode } from 'uqr';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeReceipt, RECEIPT_CLOSED } from '../../crypto/format/receipt.ts';
import { encodeVkey, verifierKey } from '../../crypto/log/note.ts';
import {
  formatReceipt,
  readReceipt,
  receiptLink,
  receiptOfLink,
  type KeptReceipt,
} from '../../src/client/kept-receipt.ts';
import { logSigner } from '../../src/server/signing.ts';
import { LOG } from '../crypto/log/keys.ts';

let kept: KeptReceipt;

async function receiptOf(origin: string, server = 'https://exams.example.edu'): Promise<KeptReceipt> {
  const fields = {
    state: RECEIPT_CLOSED as typeof RECEIPT_CLOSED,
    sessionId: `${'A'.repeat(21)}w`,
    epoch: 3,
    headSeq: 4000,
    headHash: new Uint8Array(32).fill(7),
    serverMs: Date.UTC(2026, 10, 25),
    deleteByMs: Date.UTC(2026, 11, 25),
    openedPosition: 123_456_789,
  };
  const signer = logSigner({ origin, ...LOG });
  const vkey = encodeVkey(verifierKey(origin, LOG.publicKey));
  return { server, vkey, receipt: await encodeReceipt(fields, signer) };
}

beforeAll(async () => {
  kept = await receiptOf('exams.example.edu/zeroreel');
});

describe('a receipt as a link', () => {
  it('is the same receipt, and is checked with nothing else', async () => {
    for (const origin of ['exams.example.edu/zeroreel', 'a.b/c.d#e?f=g%2F', 'prüfung.example/ñ']) {
      const one = await receiptOf(origin, 'https://exams.example.edu:8443');
      expect(receiptOfLink(receiptLink(one))).toBe(formatReceipt(one));
      const { record, ...rest } = await readReceipt(`${receiptLink(one)}\n`);
      expect(rest).toEqual(one);
      expect(record.deleteByMs).toBe(Date.UTC(2026, 11, 25));
    }
  });

  it('shows the server nothing but that somebody checks a receipt', () => {
    const { pathname, search, hash } = new URL(receiptLink(kept));
    expect({ pathname, search }).toEqual({ pathname: '/receipt', search: '' });
    expect(hash.length).toBeGreaterThan(240);
  });

  it('fits a QR code that stands on a terminal of 80 columns', () => {
    expect(encode(receiptLink(kept), { ecc: 'L', border: 4 }).size).toBeLessThanOrEqual(80);
  });

  it('is refused when any character of its record or key was changed, when it was cut, and as another link', async () => {
    const link = receiptLink(kept);
    const start = link.indexOf('#v1.') + 4;
    const end = link.indexOf('.', start);
    for (let at = start; at < link.length; at += 7) {
      if (link[at] === '.') continue;
      const changed = `${link.slice(0, at)}${link[at] === 'A' ? 'B' : 'A'}${link.slice(at + 1)}`;
      await expect(readReceipt(changed), `at ${at}`).rejects.toMatchObject({ name: 'ProtocolError' });
    }
    for (const other of [
      link.slice(0, end),
      link.slice(0, -28),
      link.replace('#v1.', '#v2.'),
      'https://exams.example.edu/record#v1.a.b.0',
      'https://%',
    ])
      await expect(readReceipt(other), other).rejects.toMatchObject({ name: 'ProtocolError' });
  });
});
