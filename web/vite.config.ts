// Builds one entry per mode: `--mode edge` is the box's page, `--mode hub` the hub's.
// Never inlines scripts: the pages run under a content security policy of 'self'.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig(({ mode }) => {
  const entry = mode === "edge" ? "edge" : "hub";
  const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
  // Where the development server sends API calls; the built pages always ask their own origin.
  const target = process.env.CHATTERFIX_API ?? "http://127.0.0.1:8080";
  return {
    root: path(`src/${entry}`),
    cacheDir: path("node_modules/.vite"),
    plugins: [svelte({ configFile: path("svelte.config.js") })],
    build: {
      outDir: path(`dist/${entry}`),
      emptyOutDir: true,
      target: "es2022",
      modulePreload: { polyfill: false },
      assetsInlineLimit: 0,
    },
    server: { proxy: { "/api": { target } } },
    test: { root: path("src"), environment: "node" },
  };
});
