/** Why a record, a recording or a log was refused. Stable: tests, the command line and the pages all switch on it. */
export type ProtocolErrorCode =
  | 'format' // magic, version, unknown flag or reserved bit, non-canonical text
  | 'length' // a field or the whole is shorter or longer than its own header says
  | 'limit' // a declared size above what the protocol allows; raised before anything is allocated
  | 'key' // a public key that is malformed, of low order, or not the one its record names
  | 'signature'
  | 'segment-hash'
  | 'aead' // authenticated decryption failed
  | 'commitment' // the key is not the one that was committed to
  | 'seq' // a gap, a duplicate or a reordering
  | 'chain' // the predecessor's hash is another one
  | 'final' // something after FINAL, or an empty chunk that is not FINAL
  | 'identity' // a record that belongs to another session, epoch, track or exam
  | 'zero-shared-secret'
  | 'suite' // a suite below the floor, or one that does not fit the key
  | 'wrap'
  | 'grant'
  | 'kdf-params'
  | 'passphrase'
  | 'policy'
  | 'attestation'
  | 'log'
  | 'equivocation' // two signed statements that cannot both be honest
  | 'unsupported'; // the runtime lacks a primitive that must not be replaced

/** The only error that `crypto/` throws on hostile input. Its message never holds a key, a passphrase or a plaintext. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string) {
    super(message);
    this.name = 'ProtocolError';
    this.code = code;
  }
}
