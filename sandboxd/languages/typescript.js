// Loaded before the program: holds Node, already started, until the program is
// there and the checker beside it has compiled it. What follows is Node's own way of
// running a file; its traces name the lines of the TypeScript.
'use strict';
{
  const fs = require('fs');
  const MESSAGE = 3;
  const NOTE = 4;
  const PROGRAM = '/sandbox/main.ts';
  const CHECKER = ['/tmp/checker.in', '/tmp/checker.out'];

  const input = fs.openSync(CHECKER[0], 'w');
  const output = fs.openSync(CHECKER[1], 'r');
  CHECKER.forEach((path) => fs.unlinkSync(path));
  fs.readSync(output, Buffer.alloc(1)); // it is up

  fs.writeSync(NOTE, '\n');
  const [count, ...fields] = fs.readFileSync(MESSAGE, 'utf8').split('\0').slice(0, -1);
  fs.closeSync(MESSAGE);
  fs.closeSync(input); // this the checker waits for
  process.argv.push(...fields.splice(0, Number(count)));
  for (const pair of fields) {
    const [, name, value] = /^([^=]*)=([^]*)$/.exec(pair);
    process.env[name] = value;
  }

  const answer = fs.readFileSync(output, 'utf8');
  fs.closeSync(output);
  const { errors, files, isModule } = answer
    ? JSON.parse(answer)
    : { errors: ['the compiler was ended before it was done'] };
  if (errors.length) {
    fs.writeSync(2, errors.join('\n') + '\n');
    fs.writeSync(NOTE, 'compile\n');
    process.exit(1);
  }
  fs.closeSync(NOTE);

  process.setSourceMapsEnabled(true);
  if (isModule) {
    const module = PROGRAM.replace(/ts$/, 'mjs');
    fs.writeFileSync(module, files[PROGRAM]);
    require.extensions['.ts'] = () => {
      let settled = false;
      process.once('exit', (code) => {
        if (!settled && !code) process.exitCode = 13; // an await that nothing ends
      });
      import(module).finally(() => { settled = true; });
    };
  } else {
    // Node's own loader is given the compiled text where it reads the file: a loader
    // of this file's would be in every trace.
    const read = fs.readFileSync;
    fs.readFileSync = (path, ...rest) => {
      if (!Object.hasOwn(files, path)) return read(path, ...rest);
      const text = files[path];
      delete files[path];
      if (!Object.keys(files).length) fs.readFileSync = read;
      return text;
    };
    require.extensions['.ts'] = require.extensions['.js'];
  }
  delete require.cache[__filename];
  process.execArgv.length = 0;
}
