/// <reference types="vite/client" />

interface ImportMetaEnv {
  /** SHA-256 over the source of this build, base64url, 43 characters: what a recorder names as its build. */
  readonly ZEROREEL_BUILD: string;
}
