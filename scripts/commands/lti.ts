import { command, commandGroup, parseWords, required, SERVER_FLAGS, usageError } from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { formatTable, formatTime } from '../shell/figures.ts';
import { connect } from '../shell/server.ts';

const JSON_FLAG = { json: { type: 'boolean', default: false } } as const;

const USAGE_ADD = `zeroreel lti add --issuer URL --client-id ID --auth-url URL --jwks-url URL --deployment ID... [--label TEXT] [--json]

Lets a learning platform launch (LTI 1.3). Again with the same issuer and client id it changes what is known, and adds deployments. In
the platform, the tool is: login URL https://HOST/lti/login, redirect and target URL https://HOST/lti/launch, deep linking
https://HOST/lti/select, keys https://HOST/lti/jwks, privacy level anonymous. Canvas: custom fields as schema/API.md lists them.

  $ zeroreel lti add --label 'Canvas, Example University' --issuer https://canvas.instructure.com --client-id 10000000000042 \\
      --auth-url https://sso.canvaslms.com/api/lti/authorize_redirect --jwks-url https://sso.canvaslms.com/api/lti/security/jwks \\
      --deployment 12:9d4ef0a1c
  4Wc0fH2aQ1e6d0aXwz2u7A`;

const add = command(USAGE_ADD, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ...JSON_FLAG,
      label: { type: 'string' },
      issuer: { type: 'string' },
      'client-id': { type: 'string' },
      'auth-url': { type: 'string' },
      'jwks-url': { type: 'string' },
      deployment: { type: 'string', multiple: true, default: [] },
    },
    { from: 0, to: 0, names: '' },
  );
  const issuer = required(values.issuer, 'issuer');
  const clientId = required(values['client-id'], 'client-id');
  const api = await connect(shell, values);
  const { platforms } = await api.platforms();
  const known = platforms.find((one) => one.issuer === issuer && one.client_id === clientId);
  const deployments = [...new Set([...(known?.deployments ?? []), ...values.deployment])];
  if (deployments.length === 0) throw usageError('expected --deployment: those that are not named launch nothing');
  const { id } = await api.putPlatform({
    label: values.label ?? known?.label ?? issuer,
    issuer,
    client_id: clientId,
    auth_url: values['auth-url'] ?? known?.auth_url ?? required(undefined, 'auth-url'),
    jwks_url: values['jwks-url'] ?? known?.jwks_url ?? required(undefined, 'jwks-url'),
    deployments,
  });
  if (values.json) shell.printJson({ id });
  else shell.print(id);
  return EXIT.well;
});

const USAGE_LIST = `zeroreel lti list [--json]

  $ zeroreel lti list
  id                      platform                    client          deployments   keys
  4Wc0fH2aQ1e6d0aXwz2u7A  Canvas, Example University  10000000000042  12:9d4ef0a1c  3`;

const list = command(USAGE_LIST, async (words, shell) => {
  const { values } = parseWords(words, { ...SERVER_FLAGS, ...JSON_FLAG }, { from: 0, to: 0, names: '' });
  const { platforms } = await (await connect(shell, values)).platforms();
  if (values.json) shell.printJson(platforms);
  else {
    const rows = platforms.map(({ id, label, client_id: client, deployments, keys }) => [
      ...[id, label, client, deployments.join(' ') || 'none yet'],
      keys.length === 0 ? 'no answer' : String(keys.length),
    ]);
    for (const line of formatTable(['id', 'platform', 'client', 'deployments', 'keys'], rows)) shell.print(line);
  }
  return EXIT.well;
});

const USAGE_REMOVE = `zeroreel lti remove ID

The platform launches nothing any more. What was recorded stays as it is.

  $ zeroreel lti remove 4Wc0fH2aQ1e6d0aXwz2u7A
  removed 4Wc0fH2aQ1e6d0aXwz2u7A`;

const remove = command(USAGE_REMOVE, async (words, shell) => {
  const { values, positionals } = parseWords(words, SERVER_FLAGS, { from: 1, to: 1, names: "the platform's ID" });
  await (await connect(shell, values)).removePlatform(positionals[0]!);
  shell.print(`removed ${positionals[0]!}`);
  return EXIT.well;
});

const USAGE_INVITE = `zeroreel lti invite [--json]

A link for a platform's administrator, who gives it to the platform as the tool's registration URL: LTI Dynamic Registration does the
rest. It holds once, and for a day; whoever has it can let a platform launch. A platform that makes deployments afterwards, as Canvas
does, is told of them by \`zeroreel lti add --deployment\`.

  $ zeroreel lti invite
  https://zeroreel.example.edu/lti/register?invitation=zrinvite_...`;

const invite = command(USAGE_INVITE, async (words, shell) => {
  const { values } = parseWords(words, { ...SERVER_FLAGS, ...JSON_FLAG }, { from: 0, to: 0, names: '' });
  const invitation = await (await connect(shell, values)).invitePlatform();
  if (values.json) shell.printJson(invitation);
  else shell.print(invitation.url);
  shell.say(`holds once, until ${formatTime(invitation.expires_ms)}`);
  return EXIT.well;
});

const USAGE_ROTATE = `zeroreel lti rotate-key [--json]

Makes the next key with which this tool signs what it sends to platforms. Those before stay published for a month.

  $ zeroreel lti rotate-key
  9QZX40WM7B1RXF5TE3KD0M2PHV6ACN8G9QZX40WM7B1`;

const rotateKey = command(USAGE_ROTATE, async (words, shell) => {
  const { values } = parseWords(words, { ...SERVER_FLAGS, ...JSON_FLAG }, { from: 0, to: 0, names: '' });
  const made = await (await connect(shell, values)).rotatePlatformKey();
  if (values.json) shell.printJson(made);
  else shell.print(made.kid);
  return EXIT.well;
});

export const lti = commandGroup(
  'lti',
  `zeroreel lti add | list | remove | invite | rotate-key      learning platforms that may launch

  $ export ZEROREEL_TOKEN_FILE=admin.token
  $ zeroreel lti invite`,
  { add, list, remove, invite, 'rotate-key': rotateKey },
);
