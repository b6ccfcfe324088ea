import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromBase64Url, toBase64Url } from '../../../crypto/format/bytes.ts';

const ALPHABET = /^[A-Za-z0-9_-]$/;

describe('base64url', () => {
  it('is what Node writes, and comes back, at every length', () => {
    for (let length = 0; length <= 200; length++) {
      const bytes = new Uint8Array(randomBytes(length));
      const text = toBase64Url(bytes);
      expect(text).toBe(Buffer.from(bytes).toString('base64url'));
      expect(fromBase64Url(text)).toEqual(bytes);
    }
  });

  it('has one text for every byte string: a changed character is refused or means other bytes', () => {
    for (const length of [1, 2, 3, 4, 32]) {
      const bytes = new Uint8Array(randomBytes(length));
      const text = toBase64Url(bytes);
      for (let at = 0; at < text.length; at++) {
        for (let code = 0; code < 300; code++) {
          const changed = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
          if (changed === text) continue;
          const canonical = Buffer.from(changed, 'base64url');
          const isOne = ALPHABET.test(changed[at]!) && canonical.toString('base64url') === changed;
          if (isOne) expect(fromBase64Url(changed)).toEqual(new Uint8Array(canonical));
          else expect(() => fromBase64Url(changed)).toThrow(/base64url/);
        }
      }
    }
  });

  it('has no padding, and no length that no byte string has', () => {
    for (const text of ['A', 'AAAAA', 'AA==', 'AAA=', '=', 'AA A'])
      expect(() => fromBase64Url(text), text).toThrow('base64url');
  });
});
