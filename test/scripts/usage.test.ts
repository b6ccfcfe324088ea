import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandLine } from './command-line.ts';

const cli = new CommandLine();
beforeAll(() => {
  writeFileSync(cli.path('notes.txt'), 'hello\n');
});
afterAll(() => {
  cli.remove();
});

const COMMANDS = [
  ['keygen'],
  ['key'],
  ['key', 'show'],
  ['key', 'passphrase'],
  ['key', 'enrol'],
  ['key', 'rotate'],
  ['key', 'regrant'],
  ['key', 'revoke'],
  ['exam'],
  ['exam', 'create'],
  ['exam', 'update'],
  ['exam', 'show'],
  ['exam', 'list'],
  ['exam', 'tickets'],
  ['exam', 'seb'],
  ['exam', 'copy'],
  ['erase'],
  ['bucket'],
  ['bucket', 'move'],
  ['bucket', 'credentials'],
  ['record'],
  ['receipt'],
  ['list'],
  ['fetch'],
  ['export'],
  ['verify'],
  ['grant'],
  ['serve'],
  ['token'],
  ['token', 'create'],
  ['token', 'list'],
  ['token', 'revoke'],
  ['purge'],
  ['scrub'],
  ['doctor'],
  ['log'],
  ['log', 'verify'],
  ['log', 'export'],
  ['log', 'prove'],
  ['log', 'rotate'],
];

describe('every command', { concurrent: true }, () => {
  it.each(COMMANDS)('tells its usage with a session in it: %s %s', async (...words) => {
    const { exit, output, error } = await cli.run([...words.filter(Boolean), '--help']);
    expect({ exit, error }).toEqual({ exit: 0, error: '' });
    expect(output).toMatch(/^zeroreel /);
    expect(output).toContain('\n  $ ');
  });
});

const LINK = 'http://127.0.0.1:9/record#v1.AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.0';

/** Words, exit code, what the one line says. Port 9 answers nobody: these must fail before they ask a server. */
const BAD: [words: string[], exit: number, message: RegExp][] = [
  [[], 64, /expected one of keygen, .*found nothing/],
  [['dance'], 64, /found "dance"/],
  [['constructor'], 64, /found "constructor"/],
  [['key', 'shout'], 64, /key: expected one of show, .*; found "shout"/],
  [['keygen'], 64, /expected one FILE for the key, found nothing/],
  [['keygen', '--suite', '3', 'k'], 64, /--suite: expected 1 or 2, found "3"/],
  [['keygen', '--passphrase', 'secret', 'k'], 64, /unknown option '--passphrase'/],
  [['keygen', 'a', 'b'], 64, /found 2 words/],
  [['key', 'show', 'absent.key'], 74, /absent.key: there is no such file/],
  [['key', 'show', '.'], 74, /expected a file, found a folder/],
  [['key', 'show', 'notes.txt'], 64, /not a public line/],
  [['exam', 'create', '--key', 'k'], 64, /expected --title/],
  [['exam', 'create', '--title', 'T', '--days', '31'], 64, /--days: expected a whole number from 1 to 30, found "31"/],
  [['exam', 'create', '--title', 'T', '--from', 'tomorrow'], 64, /--from: expected a time like/],
  [['exam', 'create', '--title', 'T', '--track', 'smell'], 64, /expected a kind of track .*found "smell"/],
  [['exam', 'create', '--title', 'T', '--rule', 'fast'], 64, /--rule: expected name=value/],
  [['exam', 'create', '--title', 'T', '--admission', 'all'], 64, /--admission: expected ticket or link/],
  [['exam', 'create', '--title', 'T', '--recipient', 'zrpq1qqqq zrid1qqqq'], 64, /not a public line/],
  [['exam', 'tickets', '--exam', LINK, '0'], 64, /N: expected a whole number from 1 to 100000/],
  [['exam', 'tickets', '--exam', LINK, 'many'], 64, /found "many"/],
  [['exam', 'tickets', '--exam', LINK, '--accommodate', '1', '9'], 64, /expected SEAT:NAME=VALUE/],
  [['exam', 'tickets', '--exam', LINK, '--accommodate', '10:extra_minutes=5', '9'], 64, /seat 10 is not among/],
  [['exam', 'tickets', '--exam', LINK, '--accommodate', '1:tracks_off=webcma', '9'], 64, /follow tracks_off: webcma/],
  [['exam', 'seb', 'notes.txt'], 64, /not an exam link/],
  [['exam', 'show', '--exam', 'https://example.org/'], 64, /not an exam link/],
  [['exam', 'show', '--exam', LINK.replace('http:', 'ftp:')], 74, /there is no such file/],
  [['exam', 'show', '--exam', LINK.replace('127.0.0.1', 'example.org')], 64, /expected https/],
  [['exam', 'show'], 64, /expected --exam LINK/],
  [['list', '--exam', LINK, '--token', 'zra_secret'], 64, /unknown option '--token'/],
  [['list', '--exam', LINK, '--server', 'localhost:8600'], 64, /--server: expected a URL/],
  [['record', '--exam', LINK], 64, /expected a FILE/],
  [['record', '--finish', 'a.webm'], 64, /--finish records nothing more/],
  [['record', 'notes.txt'], 64, /notes.txt: the extension tells no kind of track/],
  [['record', 'webcam.webm'], 64, /expected --ticket FILE/],
  [['record', '--ticket', 'notes.txt', 'webcam.webm'], 64, /notes.txt: not an exam link/],
  [['record', '--exam', LINK, '--pace', '-1', 'webcam.webm'], 64, /pace/],
  [['record', '--exam', LINK, '--pace', 'fast', 'webcam.webm'], 64, /--pace: expected a factor/],
  [['record', '--exam', LINK, '--patience', '0', 'webcam.webm'], 64, /--patience: expected a whole number/],
  [['record', '--exam', LINK, '--track', '70000:webcam:=a'], 64, /at most 65535/],
  [['fetch', '--exam', LINK, 'short'], 64, /expected a recording's id of 22 characters, found "short"/],
  [['fetch', '--exam', LINK, '--out', '-', 'AAAAAAAAAAAAAAAAAAAAAA'], 64, /expected one --track/],
  [['fetch', '--exam', LINK, 'AAAAAAAAAAAAAAAAAAAAAA'], 64, /expected --key FILE/],
  [['fetch', '--exam', LINK, '--key', 'notes.txt', 'AAAAAAAAAAAAAAAAAAAAAA'], 78, /notes.txt: /],
  [['export', '--exam', LINK, 'AAAAAAAAAAAAAAAAAAAAAA'], 64, /expected --out/],
  [['verify'], 64, /expected one DIR/],
  [['verify', '.'], 3, /the case file lacks recording.json/],
  [['grant', '--exam', LINK, 'AAAAAAAAAAAAAAAAAAAAAA'], 64, /expected --to/],
  [['serve', '--port', 'http'], 64, /ZEROREEL_PORT/],
  [['token', 'create', '--label', 'x'], 64, /expected --role/],
  [
    ['token', 'create', '--role', 'king', '--label', 'x'],
    64,
    /--role: expected admin, instructor, compliance, found "king"/,
  ],
  [['token', 'create', '--role', 'admin', '--label', 'x', '--days', '400'], 64, /--days/],
  [['token', 'revoke'], 64, /expected the token's PREFIX/],
  [['log', 'verify', '.'], 3, /the bundle has no log.vkey/],
  [['log', 'verify', '.', '--server', 'https://example.org'], 64, /expected DIR or --server, found both/],
  [['log', 'verify', '.', '--at', 'noon'], 64, /--at: expected a time/],
  [['log', 'verify', '.', '--vkey', 'a+00000000+AAAA'], 3, /verifier key|checkpoint/],
  [['log', 'prove'], 64, /expected one RECEIPT/],
  [['log', 'prove', 'notes.txt'], 64, /not a receipt/],
  [['receipt', 'notes.txt'], 64, /not a receipt/],
];

describe('bad input', { concurrent: true }, () => {
  it.each(BAD)('%j ends with %i', async (words, exit, message) => {
    const ended = await cli.run(words);
    expect(ended.error).toMatch(message);
    expect({ exit: ended.exit, output: ended.output }).toEqual({ exit, output: '' });
    // One line that says what, with its code; one that says what to do; no stack.
    expect(ended.error).toMatch(/^zeroreel: [^\n]+ \([a-z-]+\)\n(hint: [^\n]+\n)?$/);
    expect(ended.error).not.toContain('secret');
  });
});

describe('a server that does not answer', () => {
  it('is told as such, with a code of its own', async () => {
    const { exit, error } = await cli.run(['list', '--exam', LINK]);
    expect(exit).toBe(69);
    expect(error).toMatch(/\(unreachable\)/);
  });
});
