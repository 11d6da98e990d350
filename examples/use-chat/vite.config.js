// Serves the page, and hands what begins with /api to Holdline. The proxy keeps the host of the page, so Holdline sees requests of its own
// origin.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const holdline = process.env['HOLDLINE_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  server: { host: '127.0.0.1', proxy: { '/api': { target: holdline, configure: passBreaksOn } } },
});

/**
 * An answer whose connection breaks must break in the browser too, or the page waits for the rest without end: Vite's proxy leaves it open.
 * @param {import('vite').HttpProxy.ProxyServer} proxy
 */
function passBreaksOn(proxy) {
  proxy.on('proxyRes', (answer, _request, response) => {
    answer.once('close', () => {
      if (!answer.complete) response.destroy();
    });
  });
}
