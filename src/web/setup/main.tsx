/**
 * First start: whoever holds the setup link becomes the first administrator. Trades the link for a token, shows it once, and makes tokens
 * for those who are to be let in. The token stays in this page; nothing keeps it for the reader.
 */
import { useState } from 'preact/hooks';
import { Api } from '../../client/api.ts';
import { Button } from '../parts/button.tsx';
import { Copyable } from '../parts/copyable.tsx';
import { SelectField, TextField } from '../parts/field.tsx';
import { Frame } from '../parts/frame.tsx';
import { instantText } from '../parts/instant.ts';
import { mount } from '../parts/mount.tsx';
import { Panel } from '../parts/panel.tsx';
import { saveText } from '../parts/saving.ts';
import { LiveRegion, Status } from '../parts/status.tsx';
import { FailureNote, useTask } from '../parts/task.tsx';

type Token = Awaited<ReturnType<Api['redeemSetup']>>;

/** Behind the `#` of the link, which no browser sends. */
function secretOf(hash: string): string | undefined {
  return /^#(zrsetup_[\w-]+)$/.exec(hash)?.[1];
}

function Page() {
  const [secret] = useState(() => secretOf(location.hash));
  const [token, setToken] = useState<Token>();
  return (
    <Frame path="/setup" isNarrow>
      <div class="stack">
        <h1>Begin</h1>
        {token ? (
          <>
            <FirstToken token={token} />
            <LetIn admin={token.token} />
          </>
        ) : secret === undefined ? (
          <NoLink />
        ) : (
          <Redeem secret={secret} onToken={setToken} />
        )}
      </div>
    </Frame>
  );
}

function NoLink() {
  return (
    <Status tone="info">
      <p>
        This page is opened by the setup link of a new service. The service prints it when it starts, and keeps it in
        its data folder as setup.link, until somebody has used it:
      </p>
      <p class="mono">https://…/setup#zrsetup_…</p>
      <p>If you opened such a link, it was cut off. Copy it whole, to its last character.</p>
    </Status>
  );
}

function Redeem({ secret, onToken }: { secret: string; onToken: (token: Token) => void }) {
  const task = useTask();
  const redeem = async (): Promise<void> => {
    const token = await new Api({ url: location.origin }).redeemSetup(secret);
    // It is spent: it need not stand in the address bar and in the history any more.
    history.replaceState(null, '', location.pathname);
    onToken(token);
  };
  return (
    <Panel heading="Become the first administrator">
      <div class="stack">
        <p>
          Your link holds once, and for a day. It gives you a token, a long password that this service made: with it you
          let others in. It opens no recording: nothing does but an instructor’s key.
        </p>
        <p>The token is shown once. Have a password manager at hand, or a safe place for a file.</p>
        <div class="row">
          <Button
            kind="primary"
            unavailable={task.isBusy ? 'under way' : undefined}
            onPress={() => void task.run(redeem)}
          >
            Show my token
          </Button>
        </div>
        <FailureNote failure={task.failure} />
      </div>
    </Panel>
  );
}

function FirstToken({ token: { token, expires_ms: until } }: { token: Token }) {
  return (
    <Panel heading="Your token">
      <div class="stack">
        <LiveRegion isShown>
          <Status tone="good">
            <p>
              <strong>You are the first administrator.</strong> Keep the token now: it is not shown again, and the link
              is used up.
            </p>
          </Status>
        </LiveRegion>
        <Copyable label="Administrator’s token" text={token} />
        <div class="row">
          <Button
            onPress={() => {
              saveText(`${token}\n`, 'admin.token');
            }}
          >
            Save it as a file
          </Button>
        </div>
        <dl class="facts">
          <dt>Good until</dt>
          <dd>{instantText(until)}</dd>
          <dt>On a command line</dt>
          <dd class="mono">export ZEROREEL_TOKEN_FILE=admin.token</dd>
        </dl>
        <p>
          Whoever has it can let others in and run the purge. If it gets out, make another with it and revoke this one:{' '}
          <code>zeroreel token</code>.
        </p>
      </div>
    </Panel>
  );
}

const DAYS = 30;

/** One token for somebody else; each is shown once, too. */
function LetIn({ admin }: { admin: string }) {
  const [role, setRole] = useState<'instructor' | 'compliance'>('instructor');
  const [label, setLabel] = useState('');
  const [made, setMade] = useState<{ label: string; token: Token }>();
  const task = useTask();
  const make = async (): Promise<void> => {
    setMade(undefined);
    if (label.trim() === '') throw new Error('say who it is for: a role or an office, no name is needed');
    const api = new Api({ url: location.origin, token: admin });
    setMade({ label: label.trim(), token: await api.createToken({ role, label: label.trim(), days: DAYS }) });
    setLabel('');
  };
  return (
    <Panel heading="Let somebody in">
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void task.run(make);
        }}
      >
        <p>
          An instructor makes a key at <a href="/review">review</a> and makes it known there, once, with a token of
          yours. After that the key signs in by itself, and the token is not needed.
        </p>
        <SelectField
          label="They are"
          value={role}
          options={[
            ['instructor', 'an instructor'],
            ['compliance', 'compliance staff, who open nothing'],
          ]}
          onChange={(value) => {
            setRole(value === 'compliance' ? 'compliance' : 'instructor');
          }}
        />
        <TextField
          label="For"
          hint="Stands in the list of tokens, such as: instructor, Physics."
          value={label}
          onChange={setLabel}
        />
        <div class="row">
          <button type="submit" class="button" aria-disabled={task.isBusy ? 'true' : undefined}>
            Make a token for {DAYS} days
          </button>
        </div>
        <LiveRegion isShown>
          {made && <Copyable key={made.token.prefix} label={`Token for: ${made.label}`} text={made.token.token} />}
        </LiveRegion>
        <FailureNote failure={task.failure} />
      </form>
    </Panel>
  );
}

mount(Page);
