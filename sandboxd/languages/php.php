<?php
// Runs before the program, and holds PHP, already started, until that is there. A
// function, so that none of its variables are the program's.
(static function () {
    if (getenv('SANDBOXD_AGAIN')) {
        putenv('SANDBOXD_AGAIN');
        unset($_SERVER['SANDBOXD_AGAIN']);
        return;
    }
    $note = fopen('php://fd/4', 'w');
    fwrite($note, "\n");
    fclose($note);
    $message = fopen('php://fd/3', 'r');
    $fields = explode("\0", stream_get_contents($message));
    fclose($message);
    array_pop($fields);
    $count = array_shift($fields);
    $GLOBALS['argv'] = [$_SERVER['SCRIPT_FILENAME'], ...array_splice($fields, 0, $count)];
    $GLOBALS['argc'] = $count + 1;
    foreach ($fields as $pair) {
        [$name, $value] = explode('=', $pair, 2);
        putenv($pair);
        $_SERVER[$name] = $value;
    }
    if (getenv('SANDBOXD_AGAIN')) { // PHP itself is to find the environment when it starts
        $command = explode("\0", file_get_contents('/proc/self/cmdline'), -1);
        pcntl_exec(PHP_BINARY, [...array_slice($command, 1), ...array_slice($GLOBALS['argv'], 1)]);
    }
    $_SERVER['argv'] = $GLOBALS['argv'];
    $_SERVER['argc'] = $GLOBALS['argc'];
    $_SERVER['REQUEST_TIME_FLOAT'] = microtime(true);
    $_SERVER['REQUEST_TIME'] = time();
})();
