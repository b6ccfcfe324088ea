import { describe, expect, test } from 'vitest';
import { equal, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { newId } from '../../crypto/format/ids.ts';
import { ownerHash } from '../../crypto/format/policy.ts';
import { parseTicket } from '../../crypto/format/ticket.ts';
import { generateIdentity } from '../../crypto/seal/identity.ts';
import { issueTicket } from '../../src/client/exam.ts';
import { formatExamLink, parseExamLink, withoutTicket, type ExamLink } from '../../src/client/link.ts';

async function newLink(): Promise<ExamLink> {
  const owner = await generateIdentity();
  const examId = newId();
  const accommodations = { extra_minutes: 30 };
  const ticket = await issueTicket({ examId, seat: '0007', expiresMs: 2e12, accommodations }, owner.signer);
  return { url: 'https://exams.example.org', examId, ownerHash: await ownerHash(owner.publicKey), minSeq: 3, ticket };
}

describe('an exam link', () => {
  test('comes back as it was, with and without its ticket', async () => {
    const link = await newLink();
    expect(parseExamLink(formatExamLink(link))).toEqual(link);
    const bare = withoutTicket(link);
    expect(parseExamLink(formatExamLink(bare))).toEqual(bare);
    expect(parseTicket(link.ticket!.ticket)).toMatchObject({ seat: '0007', accommodations: '{"extra_minutes":30}' });
  });

  test('keeps everything that it pins out of what a browser sends', async () => {
    const url = new URL(formatExamLink(await newLink()));
    expect([url.pathname, url.search]).toEqual(['/record', '']);
    expect(url.hash.startsWith('#v1.')).toBe(true);
  });

  test('loses its ticket’s seed with its ticket', async () => {
    const link = await newLink();
    const text = formatExamLink(withoutTicket(link));
    expect(text).not.toContain(toBase64Url(link.ticket!.seed));
    expect(text.split('.').at(-1)).toBe('3');
  });
});

describe('what is no exam link', () => {
  test.each([
    ['no URL', (_: string) => 'exams.example.org'],
    ['plain http off this machine', (text: string) => text.replace('https:', 'http:')],
    ['another scheme', (text: string) => text.replace('https:', 'file:')],
    ['another version', (text: string) => text.replace('#v1.', '#v2.')],
    ['no fragment', (text: string) => text.replace(/#.*/, '')],
    ['an exam id that is cut', (text: string) => text.replace(/#v1\../, '#v1.')],
    ['a number with a sign', (text: string) => text.replace('.3.', '.-3.')],
    ['a number with a leading zero', (text: string) => text.replace('.3.', '.03.')],
    ['a further member', (text: string) => `${text}.x`],
    ['a ticket that is cut', (text: string) => text.slice(0, -8)],
    ['a ticket that is only a seed', (text: string) => `${text.slice(0, text.lastIndexOf('.'))}.${'A'.repeat(43)}`],
    ['base64url that is not canonical', (text: string) => `${text.slice(0, -1)}${text.endsWith('B') ? 'C' : 'B'}!`],
  ])('%s is refused, and the message repeats none of it', async (_what, spoil) => {
    const text = spoil(formatExamLink(await newLink()));
    const error = refusal(text);
    expect(error).toMatchObject({ code: 'link' });
    for (const part of text.split(/[.#]/)) if (part.length > 20) expect(error.message).not.toContain(part);
  });

  test('a ticket of another exam is refused', async () => {
    const [one, other] = [await newLink(), await newLink()];
    expect(refusal(formatExamLink({ ...one, ticket: other.ticket! }))).toMatchObject({ code: 'link' });
  });

  test('plain http is accepted on this machine only', async () => {
    const link = await newLink();
    for (const url of ['http://127.0.0.1:8600', 'http://localhost:8600', 'http://[::1]:8600']) {
      expect(parseExamLink(formatExamLink({ ...link, url })).url).toBe(url);
    }
    expect(refusal(formatExamLink({ ...link, url: 'http://127.0.0.1.example.org' }))).toMatchObject({ code: 'link' });
  });
});

test('no two tickets share a key', async () => {
  const owner = await generateIdentity();
  const seeds: Bytes[] = [];
  for (let seat = 0; seat < 8; seat++) {
    seeds.push((await issueTicket({ examId: newId(), seat: String(seat), expiresMs: 2e12 }, owner.signer)).seed);
  }
  for (const [i, seed] of seeds.entries()) expect(seeds.findIndex((other) => equal(other, seed))).toBe(i);
});

function refusal(text: string): Error {
  try {
    parseExamLink(text);
  } catch (error) {
    return error as Error;
  }
  throw new Error('the link was accepted');
}
