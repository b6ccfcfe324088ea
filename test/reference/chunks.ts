/** Section 8: the chunks of one track in their order; with a key their media too. */
import { createHash } from 'node:crypto';
import { ds, Fields, h, hkdf, must, same, sha256 } from './fields.ts';
import { mustBeSigned, openGcm } from './primitives.ts';
import type { Open } from './records.ts';

export class Track {
  count = 0;
  last: Buffer;
  isFinal = false;
  /** Over the media, where there is a key. */
  readonly media = createHash('sha256');
  readonly #open: Open;
  readonly #id: number;
  readonly #key: Buffer | undefined;

  constructor(open: Open, id: number, key?: Buffer) {
    must(open.tracks.includes(id), 'identity');
    [this.#open, this.#id, this.#key, this.last] = [open, id, key, open.hash];
  }

  add(object: Buffer): void {
    const f = new Fields(object, 'ZRCH');
    must(f.int(1) === 1, 'format');
    const flags = f.int(2);
    must(flags < 4, 'format');
    const [session, epoch, track] = [f.take(16), f.int(4), f.int(2)];
    f.zero(2);
    const [seq, length] = [f.int(4), f.int(4)];
    must(length <= 8 * 1024 * 1024, 'limit');
    must(length > 0 || (flags & 1) === 1, 'final');
    f.int(8); // t_start_ms, t_dur_ms, gap_ms, wall_ms
    f.int(4);
    f.int(4);
    f.int(8);
    const [prev, salt, bound] = [f.take(32), f.take(32), f.before];
    const segments = Math.max(1, Math.ceil(length / 65_536));
    must(object.length === 224 + 48 * segments + length, 'length');
    const [ckc, table, signature] = [f.take(32), f.take(32 * segments), f.take(64)];
    must(same(session, this.#open.session) && epoch === this.#open.epoch && track === this.#id, 'identity');
    must(!this.isFinal, 'final');
    must(seq === this.count, 'seq');
    must(same(prev, this.last), 'chain');
    const entry = h('entry', bound, ckc, sha256(table));
    mustBeSigned(this.#open.recorderKey, 'chunk', entry, signature);

    const keys = this.#key && hkdf(this.#key, salt, Buffer.concat([ds('chunk'), bound]), 76);
    must(!keys || same(keys.subarray(44), ckc), 'commitment');
    const clear = Array.from({ length: segments }, (_, i) => {
      const isLast = i === segments - 1;
      const segment = f.take(isLast ? f.left : 65_552);
      must(same(sha256(segment), table.subarray(32 * i, 32 * i + 32)), 'segment-hash');
      if (!keys) return segment;
      const iv = Buffer.from(keys.subarray(32, 44));
      iv.writeUInt32BE((iv.readUInt32BE(8) ^ i) >>> 0, 8);
      return openGcm(keys.subarray(0, 32), iv, segment, Buffer.of(0, 0, i >> 8, i & 255, isLast ? 1 : 0));
    });
    if (keys) this.media.update((flags & 2) === 2 ? unframe(Buffer.concat(clear)) : Buffer.concat(clear));
    this.count++;
    [this.last, this.isFinal] = [entry, (flags & 1) === 1];
  }
}

/** PADDED: u32 true_len || media || zeros. */
function unframe(content: Buffer): Buffer {
  must(content.length >= 4 && content.readUInt32BE() <= content.length - 4, 'length');
  const end = 4 + content.readUInt32BE();
  must(
    content.subarray(end).every((byte) => byte === 0),
    'format',
  );
  return content.subarray(4, end);
}
