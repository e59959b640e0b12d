// Runs one piece of code after another in the global scope, in V8's own manner for
// consoles: a `const` may be declared again, and `await` stands anywhere. What to run
// comes on stdin, which is moved to where no program finds it by chance. That a run begins,
// and can be interrupted from here on, and that it has ended are lines of JSON on the
// descriptor for notes.
'use strict';
{
  const { AsyncLocalStorage } = require('async_hooks');
  const fs = require('fs');
  const inspector = require('inspector');
  const net = require('net');
  const timers = require('timers/promises');
  const { pathToFileURL } = require('url');
  const util = require('util');
  const vm = require('vm');

  const VALUE_MOST = 100_000; // characters
  const [STDIN, NOTE] = [0, 4];
  const GO = Symbol('go');
  const INTERRUPTED = 130;
  const { setImmediate } = globalThis; // the program may replace its own

  // An open by this name is private, closed on exec, and the pipe's other end knows no
  // difference.
  const moved = (fd, flags) => {
    const copy = fs.openSync(`/proc/self/fd/${fd}`, flags);
    fs.closeSync(fd);
    return copy;
  };
  const commands = moved(STDIN, 'r');
  fs.openSync('/dev/null'); // takes the lowest number that is free, which is stdin's
  const notes = moved(NOTE, 'w');

  const session = new inspector.Session();
  session.connect();
  const post = (method, params) => new Promise((resolve, reject) => {
    session.post(method, params, (error, result) => error ? reject(error) : resolve(result));
  });
  const go = new vm.Script('globalThis[Object.getOwnPropertySymbols(globalThis)'
    + '.find((symbol) => symbol.description === "go")]()', { filename: 'node:session' });
  for (const [name, value] of Object.entries({ require, module, exports })) {
    Object.defineProperty(globalThis, name, { configurable: true, writable: true, value });
  }

  // As V8 prints it, without what lies below the program.
  Error.prepareStackTrace = (error, frames) => {
    const end = frames.findIndex((frame) => frame.getFileName() === 'node:inspector');
    let title;
    try {
      title = Error.prototype.toString.call(error);
    } catch {
      title = '<error>';
    }
    const own = frames.slice(0, end < 0 ? frames.length : end)
      .filter((frame) => frame.getFileName() !== __filename);
    return [title, ...own.map((frame) => `    at ${cells(String(frame))}`)].join('\n');
  };
  const cells = (text) => text.replace(/<cell-(\d+)>/g, '<cell $1>');

  let stdin = null;
  Object.defineProperty(process, 'stdin', {
    configurable: true,
    enumerable: true,
    get: () => stdin ??= fs.createReadStream('', { fd: STDIN, autoClose: false }),
  });
  // Each run has its own: an open takes the lowest number that is free.
  const openStreams = (name) => {
    if (!fs.existsSync(`${name}.${STDIN}`)) return;
    ['r', 'w', 'w'].forEach((flags, fd) => {
      try {
        fs.closeSync(fd);
      } catch {} // a run has closed its own
      fs.openSync(`${name}.${fd}`, flags);
    });
    stdin = null;
  };

  // The run under way: its status so far, and what ends it at once. Whatever it began, and
  // goes on later, belongs to it still; what that prints after the end is nobody's.
  let current = null;
  const runs = new AsyncLocalStorage();
  const late = () => {
    const run = runs.getStore() ?? current;
    return run !== current || run?.left;
  };
  for (const stream of [process.stdout, process.stderr]) {
    for (const name of ['_write', '_writev']) {
      const write = stream[name];
      const value = (...given) => late() ? given.at(-1)() : write.apply(stream, given);
      Object.defineProperty(stream, name, { configurable: true, writable: true, value });
    }
  }

  const report = (error) => {
    fs.writeSync(2, `${error?.stack ?? `Uncaught ${util.inspect(error)}`}\n`);
  };
  const failed = (error) => {
    if (late() || error === LEFT) return;
    report(error);
    if (current) current.status = 1;
  };
  process.on('uncaughtException', failed);
  process.on('unhandledRejection', failed);

  // What `process.exit` comes to: the run has ended with that, and nothing of its stack goes
  // on. Where V8 has waited for something it cannot end a stack (Node would abort), and an
  // error does, which is no error of the program's.
  const LEFT = new Error('the run has ended');
  const staying = new Set(process.rawListeners('exit'));
  process.reallyExit = (code) => {
    process._exiting = false;
    for (const each of process.rawListeners('exit')) {
      if (!staying.has(each)) process.off('exit', each);
    }
    if (late()) {
      process.exitCode = undefined;
      throw LEFT;
    }
    const { resolve, within } = current;
    current.left = true;
    setImmediate(resolve, { status: code & 255 });
    if (!within) throw LEFT;
    session.post('Runtime.terminateExecution');
    for (;;);
  };

  let seen = 0; // interrupts
  process.on('SIGINT', () => {
    seen += 1;
    current?.interrupt();
  });

  const evaluate = (code, run) => new Promise((resolve, reject) => {
    current.resolve = resolve;
    current.interrupt = () => {
      fs.writeSync(2, 'Interrupted\n');
      resolve({ status: INTERRUPTED });
    };
    Object.defineProperty(globalThis, GO, {
      configurable: true,
      value: () => {
        delete globalThis[GO];
        note({ run });
        post('Runtime.evaluate', {
          expression: `${code}\n//# sourceURL=<cell-${run}>`,
          objectGroup: 'run', replMode: true, awaitPromise: true,
        }).then((told) => current.left || resolve(told), (error) => current.left || reject(error));
      },
    });
    const begin = () => {
      try {
        current.within = true;
        go.runInThisContext({ breakOnSigint: true });
        current.within = false;
      } catch (error) {
        current.within = false;
        if (error.code !== 'ERR_SCRIPT_EXECUTION_INTERRUPTED') return reject(error);
        seen += 1;
        current.interrupt();
      }
    };
    // With nothing of ours below it that an end of its stack would end as well.
    setImmediate(() => runs.run(current, begin));
  });

  // A module's words in a script. V8 itself tells where they are, as errors: what follows a
  // word is read here, and `import` becomes a name as long as itself, so that columns stay.
  // `import(` is no error but does not work there either: it is asked for as `import.meta(`.
  const LOAD = '$mport';
  const ASKED = 'import.meta\u00a0\u2003\u00a0';
  const GAP = String.raw`(?:\s|/\*[^]*?\*/|//.*)*`;
  const NAME = String.raw`[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*`;
  const TEXT = String.raw`(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')`;
  const NAMES = `\\{([^}]*)\\}`;
  const FROM = `(?<specifier>${TEXT})(?:${GAP}(?<how>assert|with)${GAP}(?<what>\\{[^}]*\\}))?[^\\S\\n]*;?`;
  const statement = (pattern) => new RegExp(pattern, 'suy');
  const IMPORT = statement(`import${GAP}(?:(?<main>${NAME})${GAP},?${GAP})?`
    + `(?:\\*${GAP}as${GAP}(?<all>${NAME})|\\{(?<names>[^}]*)\\})?${GAP}(?:(?<=[\\s}*/])from${GAP})?${FROM}`);
  const EXPORT_FROM = statement(`export${GAP}(?:\\*(?:${GAP}as${GAP}(?:${NAME}|${TEXT}))?|${NAMES})${GAP}from${GAP}${FROM}`);
  const EXPORT_NAMES = statement(`export${GAP}${NAMES}[^\\S\\n]*;?`);
  const EXPORT_VALUE = statement(`export${GAP}default\\b(?!${GAP}(?:async${GAP})?(?:function${GAP}\\*?|class)${GAP}(?!extends\\b)${NAME})`);
  const EXPORT = statement(`export(?:${GAP}default\\b)?`);

  const bindings = (names) => names.replace(/\/\*[^]*?\*\/|\/\/.*/g, '').split(',')
    .filter((each) => each.trim()).map((each) => each.split(/\bas\b/).map((name) => name.trim()));
  const quoted = (name) => /^["']/.test(name) ? name : JSON.stringify(name);
  const loaded = ({ specifier, how, what }, names) =>
    `await ${LOAD}.from(${specifier}, [${names}]${how ? `, { ${how}: ${what} }` : ''})`;
  const imports = ({ main, all, names, ...from }) => {
    const bound = bindings(names ?? '');
    if (main) bound.unshift(['default', main]);
    const module = loaded(from, bound.map(([name]) => quoted(name)));
    const taken = bound.map(([name, own = name]) => `${name}: ${own}`).join(', ');
    if (all) return `const ${all} = ${module}${taken && `, { ${taken} } = ${all}`};`;
    return taken ? `const { ${taken} } = ${module};` : `void ${module};`;
  };
  const STATEMENTS = [
    [IMPORT, imports],
    [EXPORT_FROM, (from) => `void ${loaded(from, [])};`],
    [EXPORT_NAMES, () => ';'],
    [EXPORT_VALUE, () => 'void 0,'],
    [EXPORT, () => ''],
  ];

  const syntaxError = (text) => {
    let found;
    session.post('Runtime.compileScript', {
      expression: `(async () => {\n${text}\n})`, sourceURL: '', persistScript: false,
    }, (error, { exceptionDetails } = {}) => { found = exceptionDetails; });
    if (!found) return null;
    const before = text.split('\n').slice(0, found.lineNumber - 1);
    const at = before.reduce((sum, line) => sum + line.length + 1, found.columnNumber);
    return { at, message: found.exception.description };
  };

  const rewritten = (text, at) => {
    for (const [pattern, made] of STATEMENTS) {
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (!found) continue;
      const lines = '\n'.repeat(found[0].split('\n').length - 1);
      const script = made(found.groups ?? {}) + lines;
      return text.slice(0, at) + script.padEnd(found[0].length) + text.slice(pattern.lastIndex);
    }
    return null;
  };

  const asScript = (code) => {
    if (!/\b(?:import|export)\b/.test(code)) return code;
    session.post('Runtime.enable');
    try {
      return withoutWords(code);
    } finally {
      session.post('Runtime.disable');
    }
  };

  const withoutWords = (code) => {
    let text = code.replace(/\bimport(?=\s*\()/g, ASKED);
    for (let error; (error = syntaxError(text));) {
      const { at, message } = error;
      const start = text.lastIndexOf('import', at);
      const asked = text.startsWith(ASKED, start);
      const end = start + (asked ? ASKED : 'import').length;
      if (message.includes("'import.meta' outside")) {
        text = text.slice(0, start) + LOAD + text.slice(end);
      } else if (/import statement outside|token 'export'/.test(message)) {
        text = rewritten(text, at);
      } else if (asked && at < end) {
        text = `${text.slice(0, start)}import${text.slice(end)}`; // a method of that name
      } else {
        break; // V8 tells what is wrong with it
      }
      if (text === null) return code;
    }
    return text.replaceAll(ASKED, 'import');
  };

  const load = (specifier, options) => import(specifier, options);
  load.meta = {
    url: pathToFileURL(__filename).href,
    resolve: (specifier) => pathToFileURL(require.resolve(specifier)).href,
  };
  load.from = async (specifier, names, options) => {
    const module = await load(specifier, options);
    const missing = names.find((name) => !(name in module));
    if (missing === undefined) return module;
    throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${missing}'`);
  };

  // What the inspector tells of is a copy; a function that it calls gets the thing itself.
  const real = async ({ objectId, value, unserializableValue, type }) => {
    if (!objectId) return type === 'bigint' ? BigInt(unserializableValue.slice(0, -1))
      : unserializableValue ? Number(unserializableValue) : value;
    let found;
    Object.defineProperty(globalThis, GO, { configurable: true, value: (it) => { found = it; } });
    await post('Runtime.callFunctionOn', {
      objectId,
      functionDeclaration: 'function () { "use strict"; globalThis[Object'
        + '.getOwnPropertySymbols(globalThis).find((s) => s.description === "go")](this); }',
    });
    delete globalThis[GO];
    return found;
  };

  const uncaught = async ({ lineNumber, columnNumber, exception }, code, run) => {
    const error = await real(exception);
    const line = code.split('\n')[lineNumber];
    // An error of the text itself has no other place.
    if (error instanceof SyntaxError && !error.stack.includes('\n    at ')) {
      const marks = `${' '.repeat(columnNumber)}^`;
      fs.writeSync(2, `<cell ${run}>:${lineNumber + 1}\n${line}\n${marks}\n\n`);
    }
    report(error);
  };

  const perform = async ({ run, code, args, env, streams }) => {
    Object.assign(process.env, env);
    process.argv.splice(2, Infinity, ...args);
    openStreams(streams);
    process.exitCode = undefined;
    const { status, exceptionDetails, result } = await evaluate(asScript(code), run);
    if (status !== undefined) return { status };
    if (exceptionDetails) {
      await uncaught(exceptionDetails, code, run);
      return { status: 1 };
    }
    const value = await real(result);
    if (value === undefined) return {};
    const text = Buffer.from(util.inspect(value)).toString(); // with no half of a character
    return { value: text.length > VALUE_MOST ? `${text.slice(0, VALUE_MOST - 1)}…` : text };
  };

  const end = (run, status, value) => {
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    const fields = fs.readFileSync('/proc/self/stat', 'latin1').split(') ').pop().split(' ');
    const children = (Number(fields[13]) + Number(fields[14])) / 100;
    const cpu = (userCPUTime + systemCPUTime) / 1e6 + children;
    note({ run, exit_code: status, cpu, memory: maxRSS * 1024, value });
  };

  const note = (told) => {
    const line = Buffer.from(`${JSON.stringify(told)}\n`);
    for (let sent = 0; sent < line.length;) sent += fs.writeSync(notes, line, sent);
  };

  // Node's watch for interrupts may keep one that came at the very end of a run, for the
  // next: something else is interrupted in its place.
  const idle = new vm.Script('{ const end = Date.now() + 20; while (Date.now() < end); }');
  const allSeen = async (interrupts) => {
    for (let left = 20; seen < interrupts && left > 0; left -= 1) {
      await timers.setTimeout(1);
      try {
        idle.runInThisContext({ breakOnSigint: true });
      } catch {
        seen += 1;
      }
    }
    seen = interrupts;
  };

  const serve = async (command) => {
    await allSeen(command.interrupts);
    current = { status: 0, left: false, within: false, interrupt: () => {}, resolve: () => {} };
    let outcome;
    try {
      outcome = await perform(command);
    } catch (error) {
      failed(error);
      outcome = {};
    }
    await timers.setImmediate(); // what it has rejected is told by then
    const status = current.status || (process.exitCode ?? 0) & 255;
    current = null;
    await post('Runtime.releaseObjectGroup', { objectGroup: 'run' });
    end(command.run, outcome.status ?? status, outcome.value);
  };

  let unread = Buffer.alloc(0);
  const pipe = new net.Socket({ fd: commands, readable: true, writable: false });
  pipe.on('data', (data) => {
    unread = Buffer.concat([unread, data]);
    const header = unread.indexOf('\n');
    if (header < 0) return;
    const size = Number(unread.subarray(0, header)) + header + 1;
    if (unread.length < size) return;
    const command = JSON.parse(unread.subarray(header + 1, size).toString());
    unread = unread.subarray(size);
    serve(command);
  });
  Object.defineProperty(globalThis, GO, { configurable: true, value: load });
  post('Runtime.evaluate', {
    expression: `const ${LOAD} = globalThis[Object.getOwnPropertySymbols(globalThis)`
      + '.find((symbol) => symbol.description === "go")]',
    replMode: true,
  }).then(() => {
    delete globalThis[GO];
    end(0, 0);
  });
}
