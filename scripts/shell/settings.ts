import { type Config, ConfigError, readConfig } from '../../src/server/config.ts';
import { withSecretFiles } from '../../src/server/adapters/keyring.ts';
import { CommandError } from './exits.ts';

/** The server's settings, out of an environment; a wrong one is the command line's fault. */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Config {
  try {
    return readConfig(withSecretFiles(environment));
  } catch (error) {
    if (error instanceof ConfigError) throw new CommandError('usage', 'setting', error.message);
    throw error;
  }
}
