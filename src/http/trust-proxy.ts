import express, { type Express } from 'express';
import type { TrustProxy } from '../config-values.ts';

export function setTrustProxy(app: Express, trustProxy: TrustProxy): void {
  app.set('trust proxy', typeof trustProxy === 'object' ? [...trustProxy] : trustProxy);
}

/** @returns whether a peer's word about the client counts: Express's own reading of `TRUST_PROXY` */
export function trustedProxies(trustProxy: TrustProxy): (peerAddress: string) => boolean {
  const app = express();
  setTrustProxy(app, trustProxy);
  const isTrusted = app.get('trust proxy fn') as (address: string, hop: number) => boolean;
  return (peerAddress) => isTrusted(peerAddress, 0);
}
