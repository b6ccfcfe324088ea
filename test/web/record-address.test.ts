/** An exam that asks for network address and rough location: its readers see them, its students are told, and the service keeps neither. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensurePages } from '../../scripts/pages.ts';
import { aboutSchema } from '../../schema/events.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { Recorder } from '../../src/client/recorder.ts';
import { TestService } from '../client/service.ts';
import { startProxy, type Proxy } from '../server/proxy.ts';
import { describeInChromium, expectAccessible, screenshot, TestBrowser } from './browser.ts';
import { makeExam, makeReviewer, type Reviewer } from './recorded.ts';
import { placeOf, unlock } from './reviewer.ts';
import { openReader, QUICK, seatLink, Student } from './student.ts';

/** Of documentation (RFC 5737 and 3849): nobody's. */
const ADDRESS = '203.0.113.77';
const ADDRESS_6 = '2001:db8:4711::77';

let service: TestService;
/** As a proxy in front of the service, which says whose call it is. */
let proxy: Proxy;
let address: string | undefined;

beforeAll(async () => {
  await ensurePages();
  service = await TestService.start(undefined, { ZEROREEL_CLIENT_ADDRESS_HEADER: 'X-Real-IP' });
  proxy = await startProxy(service.server.url);
  proxy.mischief = (request) => {
    delete request.headers['x-real-ip'];
    if (address !== undefined) request.headers['x-real-ip'] = address;
    return undefined;
  };
});
afterAll(async () => {
  await proxy.close();
  await service.stop();
});

/** Every byte that the server has on disk, as text, by file. */
async function everyFile(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(service.directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) found.set(path, (await readFile(path)).toString('latin1'));
  }
  return found;
}

test.each([
  ['an address', ADDRESS, ADDRESS],
  ['an address of IPv6', ADDRESS_6, ADDRESS_6],
  ['an IPv4 address on a socket of IPv6', `::ffff:${ADDRESS}`, ADDRESS],
  ['no address', undefined, null],
  ['what is no address', 'somewhere; DROP TABLE', null],
])('the recorder seals %s as the service saw it', async (_, seen, sealed) => {
  const exam = await service.exam({ tracks: [{ kind: 'events' }], capture: { address: true } });
  address = seen;
  const outbox = await openFolderOutbox({
    directory: join(service.directory, `outbox-${sealed ?? 'none'}-${Date.now()}`),
  });
  const link = { ...(await exam.link('0001')), url: proxy.endpoint };
  const recorder = await Recorder.open({ api: service.api(undefined, proxy.endpoint), link, outbox, tracks: [] });
  await recorder.close();
  await outbox.close();
  const about = aboutSchema.parse(await (await openReader(exam, recorder.recordingId)).readAbout(0));
  expect(about.address).toBe(sealed);
});

test('a recorder seals no address where the policy does not ask for it', async () => {
  const exam = await service.exam({ tracks: [{ kind: 'events' }] });
  address = ADDRESS;
  const outbox = await openFolderOutbox({ directory: join(service.directory, 'outbox-unasked') });
  const link = { ...(await exam.link('0001')), url: proxy.endpoint };
  const recorder = await Recorder.open({ api: service.api(undefined, proxy.endpoint), link, outbox, tracks: [] });
  await recorder.close();
  await outbox.close();
  expect(aboutSchema.parse(await (await openReader(exam, recorder.recordingId)).readAbout(0))).not.toHaveProperty(
    'address',
  );
});

describeInChromium('in a browser', () => {
  let browser: TestBrowser;
  let owner: Reviewer;
  beforeAll(async () => {
    browser = await TestBrowser.launch();
    owner = await makeReviewer(service, 'reader 1');
  });
  afterAll(() => browser.close());

  test('the notice says so, the readers see it, and no file of the service has it', async () => {
    const exam = await makeExam(service, [owner], {
      tracks: [{ kind: 'events' }],
      capture: { ...QUICK, address: true, location: true },
    });
    await browser.context.grantPermissions(['geolocation'], { origin: proxy.endpoint });
    await browser.context.setGeolocation({ latitude: 52.51634, longitude: 13.37771, accuracy: 8 });
    address = ADDRESS;
    const link = await seatLink({ service, owner: owner.identity, signed: exam }, '0002');
    const student = await Student.arrive(browser, link.replace(service.server.url, proxy.endpoint));
    await student.page.getByText(/your network address, as this service sees it/).waitFor();
    await student.page.getByText(/your rough location, to about a kilometre \(if you allow it\)/).waitFor();
    await student.press('Tell my rough location');
    await student.page.getByText('Told: 52.52, 13.38.').waitFor();
    await student.acknowledge();
    await expectAccessible(student.page);
    await screenshot(student.page, 'record-address');
    await student.start();
    const recordingId = await student.recordingId();
    await student.end();
    await student.page.close();

    const page = await browser.page();
    await unlock(page, service.server.url, owner, placeOf(exam.pins.examId, recordingId));
    const about = page.getByRole('region', { name: 'About this recording' });
    await about.getByText(ADDRESS, { exact: true }).waitFor();
    await about.getByText('52.52, 13.38 (within 1000 m)').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'review-address');
    await page.close();

    const files = await everyFile();
    expect([...files.keys()].some((path) => path.endsWith('.db') || path.endsWith('.sqlite'))).toBe(true);
    // That the search would find what is there: the recording's id is in the database.
    expect([...files.values()].some((text) => text.includes(recordingId))).toBe(true);
    for (const [path, text] of files) {
      if (path.includes('/outbox-')) continue;
      for (const told of [ADDRESS, ADDRESS_6, '52.51634', 'latitude'])
        expect(text.includes(told), `${told} in ${path}`).toBe(false);
    }
    const logged = (await service.staff().receipt(recordingId)).entries.map(({ entry }) =>
      Buffer.from(entry, 'base64url').toString('latin1'),
    );
    expect(logged.join('')).not.toContain(ADDRESS);
  });
});
