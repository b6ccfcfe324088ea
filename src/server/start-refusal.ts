/** Why the server does not start: to serve all the same would break a promise. Says in a sentence what is wrong, and in `hint` what to do. */
export class StartRefusal extends Error {
  readonly hint: string;

  constructor(message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartRefusal';
    this.hint = hint;
  }
}
