import { readFile } from "node:fs/promises";
import { defineConfig, type Plugin } from "vite";

/** The package's service worker belongs beside the page: workers serve what lies below them. */
function serviceWorker(): Plugin {
  return {
    name: "service-worker",
    async generateBundle() {
      const source = await readFile("node_modules/digits/sw.js");
      this.emitFile({ type: "asset", fileName: "sw.js", source });
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [serviceWorker()],
  optimizeDeps: { exclude: ["digits"] },
  build: {
    target: "es2022",
    // Files as `data:` addresses are what the policy of the page forbids.
    assetsInlineLimit: 0,
  },
});
