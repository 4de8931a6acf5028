// What the browser scripts share: settings and questions to whoever started them, a browser whose console is listened to,
// pictures of pages in both schemes with axe, and that nothing sticks out. Never waits for a time.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axe = require("axe-core");

export const DEADLINE_MS = 30_000;
export const DESK = { width: 1366, height: 860 };
export const PHONE = { width: 390, height: 844 };
const NARROW = { width: 320, height: 640 };

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
/** What was found wrong; the script fails with it at its end. */
export const problems = [];
let pagesChecked = 0;
export const checked = () => pagesChecked;

export function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; the test of tests/it that starts this script sets it`);
  return value;
}

/** Asks whoever started this for something and waits until it is done. */
export async function ask(what) {
  console.log(`ask: ${what}`);
  const { value } = await answers.next();
  assert.equal(value, "done", `${what} was answered with ${value}`);
}

function browserPath() {
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
    (path) => path && existsSync(path),
  );
  if (!found) throw new Error("no Chromium is installed: run `make setup`");
  return found;
}

/** A browser of one device: its own storage, gone at the end. `settle` prepares its home, where the authorities that it
 *  trusts are; `more` are further arguments. */
export async function device(viewport, { settle = () => {}, more = [] } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "chatterfix-e2e-"));
  const home = join(profile, "home");
  mkdirSync(home);
  settle(home);
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: browserPath(),
    headless: true,
    viewport,
    locale: "en-GB",
    env: { ...process.env, HOME: home },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...more,
    ],
  });
  return {
    context,
    end: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** A page whose console is listened to: a content security violation or an exception fails the run. */
export async function open(context, name) {
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  page.on("pageerror", (error) => problems.push(`${name}: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // Without its server a page says that it cannot reach it; that is what is tested.
    const network = text.startsWith("Failed to load resource");
    if (message.type() === "error" && !network) problems.push(`${name}: ${text}`);
  });
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`),
    ),
  );
  return page;
}

export const hook = (page, name, more = "") => page.locator(`[data-test="${name}"]${more}`);

/** Pictures of a page in both schemes, and no serious accessibility violation in either. */
export async function look(page, name) {
  await page.waitForFunction(() => !document.querySelector('[data-test="loading"]'));
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path: join(setting("CHATTERFIX_PICTURES"), `${name}-${scheme}.png`), animations: "disabled" });
    // The page's policy forbids scripts that it does not serve; this comes from the debugger.
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    for (const { impact, id, help, nodes } of violations) {
      const where = nodes.map((node) => `${node.target.join(" ")} (${node.any.map((check) => check.message).join("; ")})`);
      if (impact === "serious" || impact === "critical") problems.push(`${name} ${scheme}: ${id}: ${help}: ${where.join(" | ")}`);
    }
    pagesChecked += 1;
  }
}

/** No part of the page sticks out to the side, also on the narrowest phone. */
export async function fits(page, name) {
  const before = page.viewportSize();
  for (const size of [before, NARROW]) {
    await page.setViewportSize(size);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (over > 0) problems.push(`${name} is ${over} px wider than the window of ${size.width} px`);
  }
  await page.setViewportSize(before);
}

/** Waits until the value that is shown changes by itself. */
export async function moves(value) {
  await value.waitFor();
  const before = await value.innerText();
  const handle = await value.elementHandle();
  await value.page().waitForFunction(([element, text]) => element.innerText !== text, [handle, before]);
}

/** Asks until the answer is right; says what it was when the deadline is over. */
export async function until(what, question) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const found = await question();
    if (found.right) return found.value;
    if (Date.now() > end) throw new Error(`${what}: still ${JSON.stringify(found.value)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Ends the script with what was found. */
export function end(failed, words) {
  if (failed) problems.push(failed.stack ?? String(failed));
  if (problems.length > 0) {
    console.error([...new Set(problems)].join("\n"));
    process.exit(1);
  }
  console.log(`measured: ${words}`);
  process.exit(0);
}
