// Builds one entry per mode: `--mode edge` is the box's page, `--mode hub` the hub's.
// Never inlines scripts: the pages run under a content security policy of 'self'.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Writes sw.js with the list of all built files and a version that follows from their bytes. */
function serviceWorker(source: string, built: string): Plugin {
  return {
    name: "chatterfix-service-worker",
    apply: "build",
    closeBundle() {
      const names = readdirSync(built, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name !== "sw.js")
        .map((entry) => join(entry.parentPath, entry.name).slice(built.length).replaceAll("\\", "/"))
        .sort();
      const code = readFileSync(source, "utf8");
      const hash = createHash("sha256").update(code);
      for (const name of names) hash.update(name).update(readFileSync(join(built, name)));
      const worker = code.replace("__VERSION__", hash.digest("hex").slice(0, 16)).replace("__FILES__", JSON.stringify(names));
      writeFileSync(join(built, "sw.js"), worker);
    },
  };
}

export default defineConfig(({ mode }) => {
  const entry = mode === "edge" ? "edge" : "hub";
  const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
  // Where the development server sends API calls; the built pages always ask their own origin.
  const target = process.env.CHATTERFIX_API ?? "http://127.0.0.1:8080";
  return {
    root: path(`src/${entry}`),
    cacheDir: path("node_modules/.vite"),
    plugins: [
      svelte({ configFile: path("svelte.config.js") }),
      ...(entry === "edge" ? [serviceWorker(path("src/edge/sw.js"), path("dist/edge"))] : []),
    ],
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
