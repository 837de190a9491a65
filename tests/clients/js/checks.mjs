// What the suites of this folder say of the gateway: a line for each check, and in the end whether one failed.

let failures = 0;

export async function check(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`failed ${name}: ${String(error?.stack ?? error).replace(/\s+/g, " ").slice(0, 600)}`);
  }
}

export function equal(found, expected) {
  if (found !== expected) throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
}

export function ensure(condition, otherwise) {
  if (!condition) throw new Error(otherwise);
}

export function exit() {
  process.exit(failures ? 1 : 0);
}
