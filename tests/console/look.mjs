// Opens every page of the console, and a tenant's own, in Chromium: both colour schemes, a phone and a desktop. Fails on anything in
// the console, on a violation of the content policy, on a request to anywhere else, on a page wider than its window, and on a page
// that does not say what it is for.
//
//   node look.mjs ENV_FILE CHROMIUM [FOLDER_FOR_SCREENSHOTS]
import fs from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import { HOSTILE, traffic } from "./traffic.mjs";

const [envFile, executablePath, folder] = process.argv.slice(2);
const env = Object.fromEntries(
  fs.readFileSync(envFile, "utf8").split("\n").filter(Boolean).map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
);
const admin = env.TOLLGATE_ADMIN_URL;
const gateway = env.TOLLGATE_URL;

const PAGES = [
  ["overview", "/console", ["What is wrong now", "Who is spending", "Time to first byte", "Gateway's own share", "acme", "globex"]],
  ["tenants", "/console/tenants", ["acme", "globex", "Limit nearest its end"]],
  ["tenant", "/console/tenants/globex", ["Spent against limits", "US dollars per day", "tokens per day", "Not served in the last hour, and why", "requests per second"]],
  ["models", "/console/models", ["amazon.nova-lite-v1:0", "Cost today"]],
  ["upstreams", "/console/upstreams", ["bedrock-runtime", "used again", "No requests in the last hour"]],
  ["configuration", "/console/configuration", ["What changed last", "tenants.globex.limits.requests_per_minute", "demo", "no second port"]],
  ["refusals", "/console/refusals", [HOSTILE, "nobody known", "requests-per-second"]],
  ["empty", "/console/refusals?tenant=nobody", ["Refusals"]],
];
const WINDOWS = [["phone", 390, 844], ["desktop", 1440, 900]];

const failures = [];
const check = (holds, claim) => holds || failures.push(claim);

function watched(page, allowed, name) {
  page.on("console", (message) => failures.push(`${name}: in the console: ${message.text()}`));
  page.on("pageerror", (error) => failures.push(`${name}: ${error}`));
  page.on("request", (request) => {
    const url = request.url();
    check(url.startsWith(allowed) || url.startsWith("data:"), `${name}: asks ${url}`);
  });
  return page;
}

async function look(page, name, said, shot) {
  const text = await page.evaluate(() => document.body.textContent);
  for (const piece of said) check(text.includes(piece), `${name}: does not say "${piece}"`);
  const { wide, window: width } = await page.evaluate(() => ({
    wide: Math.max(document.documentElement.scrollWidth, document.body.scrollWidth),
    window: window.innerWidth,
  }));
  check(wide <= width, `${name}: ${wide} px wide in a window of ${width}`);
  const outside = await page.evaluate(() =>
    [...document.querySelectorAll("main *")].filter((one) => one.getBoundingClientRect().right > window.innerWidth + 1).map((one) => one.tagName + ": " + one.textContent.slice(0, 40)),
  );
  check(outside.length === 0, `${name}: sticks out: ${outside.slice(0, 3).join(", ")}`);
  const unnamed = await page.evaluate(() => [
    ...[...document.querySelectorAll("svg[role=img]:not([aria-label])")].map(() => "a plot without a name"),
    ...[...document.querySelectorAll("input")].filter((one) => one.labels.length === 0).map(() => "a field without a label"),
    ...[...document.querySelectorAll("th:not([scope])")].map(() => "a heading of a table without a scope"),
  ]);
  check(unnamed.length === 0, `${name}: ${unnamed.join(", ")}`);
  check((await page.locator("h1").count()) === 1, `${name}: one first heading`);
  for (const [ratio, sample] of await page.evaluate(faintest)) check(ratio >= 4.5, `${name}: contrast ${ratio.toFixed(1)}: ${sample}`);
  if (shot && folder) await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true });
}

// WCAG 2.2's contrast of every text against the nearest ground that is painted; the faintest three.
function faintest() {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = channels(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("svg, .skip")) continue;
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(ground(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.textContent.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]).slice(0, 3);
}

const profile = fs.mkdtempSync(path.join(process.env.TMPDIR ?? "/tmp", "tollgate-console-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  ignoreHTTPSErrors: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  console.log("traffic", JSON.stringify(await traffic(env)));
  // A reload, and one that fails.
  const config = fs.readFileSync(env.TOLLGATE_CONFIG, "utf8");
  fs.writeFileSync(env.TOLLGATE_CONFIG, config.replace("requests_per_minute = 10", "requests_per_minute = 12"));
  await until("/console/configuration", "tenants.globex.limits.requests_per_minute");
  fs.writeFileSync(env.TOLLGATE_CONFIG, "no second port = 1\n");
  await until("/console/configuration", "The last reload failed");

  for (const colorScheme of ["light", "dark"]) {
    for (const [window, width, height] of WINDOWS) {
      const page = watched(await browser.newPage(), admin, `${colorScheme} ${window}`);
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      for (const [name, target, said] of PAGES) {
        const response = await page.goto(admin + target);
        check(response.status() === 200, `${name}: ${response.status()}`);
        await look(page, `${name}-${window}-${colorScheme}`, said, true);
      }
      await page.close();

      const own = watched(await browser.newPage(), gateway, `own ${colorScheme} ${window}`);
      await own.emulateMedia({ colorScheme });
      await own.setViewportSize({ width, height });
      await own.goto(`${gateway}/v1/usage`);
      await look(own, `form-${window}-${colorScheme}`, ["Token or API key"], true);
      await own.fill("#credential", env.TOLLGATE_API_KEY);
      await Promise.all([own.waitForNavigation(), own.click("button")]);
      await look(own, `own-${window}-${colorScheme}`, ["acme", "This month, day by day", "Today"], true);
      check(!(await own.content()).includes(env.TOLLGATE_API_KEY), "own: repeats the credential");
      check(!(await own.content()).includes("globex"), "own: shows another tenant");
      check((await browser.cookies()).length === 0, "own: sets a cookie");
      await own.close();
    }
  }

  // A refusal is a 401, which a browser notes in its console: that one is not watched.
  const refused = await browser.newPage();
  await refused.goto(`${gateway}/v1/usage`);
  await refused.fill("#credential", "nobody's");
  const [answer] = await Promise.all([refused.waitForNavigation(), refused.press("#credential", "Enter")]);
  check(answer.status() === 401, `a bad credential: ${answer.status()}`);
  await look(refused, "refused", ["refused", "Request id"], true);

  // Nothing runs, whoever writes it into the page.
  const page = await browser.newPage();
  await page.goto(`${admin}/console`);
  const ran = await page.evaluate(async () => {
    const violated = new Promise((resolve) => document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective)));
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    return [await violated, window.ran === true];
  });
  check(ran[0].startsWith("script-src") && !ran[1], `a script in the page: ${ran}`);
  // The live view looks again by itself.
  await page.goto(`${admin}/console`);
  await page.click("text=Refresh every 15 s");
  check((await page.locator("meta[http-equiv=refresh]").count()) === 1, "the live view does not refresh");
} finally {
  await browser.close();
  fs.rmSync(profile, { recursive: true, force: true });
}

async function until(target, said) {
  for (let turn = 0; turn < 300; turn++) {
    const text = await (await fetch(admin + target)).text();
    if (text.includes(said)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`in vain waited for "${said}" on ${target}`);
}

for (const failure of new Set(failures)) console.log(`failed: ${failure}`);
console.log(failures.length === 0 ? "console: ok" : `console: ${new Set(failures).size} failed`);
process.exit(failures.length === 0 ? 0 : 1);
