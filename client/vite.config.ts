import { defineConfig } from 'vite';

/** `vite build client` writes client/dist; the server serves it at `/` under a strict Content-Security-Policy. */
export default defineConfig({
  build: {
    target: 'es2022',
    // As files of their own, so that the policy needs no `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
