// Bundles the page into dist/web-demo, which the gateway serves at `/`. Everything is a hashed file of its own:
// the page's policy allows no inline script, no inline style and no other origin.
import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  build: {
    outDir: '../dist/web-demo',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
