// Runs one piece of code after another in the global scope, in V8's own manner for
// consoles: a `const` may be declared again, and `await` stands anywhere. What to run
// comes on stdin, which is moved to where no program finds it by chance. That a run begins,
// and can be interrupted from here on, and that it has ended are lines of JSON on the
// descriptor for notes.
'use strict';
{
  const fs = require('fs');
  const inspector = require('inspector');
  const net = require('net');
  const timers = require('timers/promises');
  const util = require('util');
  const vm = require('vm');

  const VALUE_MOST = 100_000; // characters
  const [STDIN, NOTE] = [0, 4];
  const GO = Symbol('go');
  const INTERRUPTED = 130;

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
  Object.assign(globalThis, { require, module, exports });

  // As V8 prints it, without what lies below the program.
  Error.prepareStackTrace = (error, frames) => {
    const end = frames.findIndex((frame) => frame.getFileName() === 'node:inspector');
    let title;
    try {
      title = Error.prototype.toString.call(error);
    } catch {
      title = '<error>';
    }
    const own = frames.slice(0, end < 0 ? frames.length : end);
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
      fs.closeSync(fd);
      fs.openSync(`${name}.${fd}`, flags);
    });
    stdin = null;
  };

  let current = null; // of the run under way: its status so far, and what ends it at once
  const report = (error) => {
    fs.writeSync(2, `${error?.stack ?? `Uncaught ${util.inspect(error)}`}\n`);
  };
  const failed = (error) => {
    report(error);
    if (current) current.status = 1;
  };
  process.on('uncaughtException', failed);
  process.on('unhandledRejection', failed);
  let seen = 0; // interrupts
  process.on('SIGINT', () => {
    seen += 1;
    current?.interrupt();
  });

  const evaluate = (code, run) => new Promise((resolve, reject) => {
    current.interrupt = () => {
      fs.writeSync(2, 'Interrupted\n');
      resolve({ interrupted: true });
    };
    Object.defineProperty(globalThis, GO, {
      configurable: true,
      value: () => {
        delete globalThis[GO];
        note({ run });
        post('Runtime.evaluate', {
          expression: `${code}\n//# sourceURL=<cell-${run}>`,
          objectGroup: 'run', replMode: true, awaitPromise: true,
        }).then(resolve, reject);
      },
    });
    try {
      go.runInThisContext({ breakOnSigint: true });
    } catch (error) {
      if (error.code !== 'ERR_SCRIPT_EXECUTION_INTERRUPTED') throw error;
      seen += 1;
      current.interrupt();
    }
  });

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
    const { interrupted, exceptionDetails, result } = await evaluate(code, run);
    if (interrupted) return { status: INTERRUPTED };
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
    current = { status: 0, interrupt: () => {} };
    let outcome;
    try {
      outcome = await perform(command);
    } catch (error) {
      failed(error);
      outcome = {};
    }
    const { status } = current;
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
  end(0, 0);
}
