# The user's profile: holds R, already started, until the program is there. What R
# then reads as its script is a name for each expression of the program, which stands
# for that expression unevaluated: so it is run by R's own loop, at top level, and
# unlike a script that is read directly it knows its lines. None of what runs here is
# looked up among what the program defines.
for (package in getOption("defaultPackages")) library(package, character.only = TRUE)
local({
    program <- "/sandbox/main.R"
    script <- "/tmp/main.R" # R has it open

    note <- file("/proc/self/fd/4", "w", raw = TRUE)
    cat("\n", file = note)
    close(note)
    message <- file("/proc/self/fd/3", "rb", raw = TRUE)
    bytes <- raw()
    while (length(more <- readBin(message, "raw", 65536L))) bytes <- c(bytes, more)
    close(message)
    ends <- which(bytes == 0L)
    begins <- c(0L, ends)[seq_along(ends)] + 1L
    field <- function(from, to) rawToChar(bytes[seq_len(to - from) + from - 1L])
    fields <- mapply(field, begins, ends)

    count <- as.integer(fields[1L])
    args <- fields[seq_len(count) + 1L]
    for (pair in fields[-seq_len(count + 1L)]) {
        value <- list(sub("^[^=]*=", "", pair))
        do.call(Sys.setenv, stats::setNames(value, sub("=.*", "", pair)))
    }
    Sys.unsetenv("R_PROFILE_USER")
    if (nzchar(Sys.getenv("SANDBOXD_AGAIN"))) { # R itself is to find the environment when it starts
        Sys.unsetenv("SANDBOXD_AGAIN")
        command <- c("--no-echo", "--no-restore", "--file=/sandbox/main.R")
        if (length(args)) command <- c(command, "--args", shQuote(args))
        quit("no", system2("R", command))
    }

    # What R was started with it knows by itself alone.
    command <- c(commandArgs()[1L], "--no-echo", "--no-restore", paste0("--file=", program))
    base <- baseenv()
    define <- function(name, value) {
        unlockBinding(name, base)
        assign(name, value, base)
        lockBinding(name, base)
    }
    define("commandArgs", function(trailingOnly = FALSE)
        if (trailingOnly) args else c(command, if (length(args)) c("--args", args)))

    expressions <- tryCatch(parse(program, keep.source = TRUE), error = function(error) NULL)
    if (is.null(expressions)) { # R runs what stands before the error, and says what it is
        file.copy(program, script, overwrite = TRUE)
        unlink(script)
        return(invisible())
    }
    places <- attr(expressions, "srcref")
    # A function is printed without its text, which Rscript does not keep.
    without_text <- function(code) {
        if (!is.call(code) && !is.pairlist(code)) return(code)
        if (is.call(code) && identical(code[[1L]], quote(`function`))) code[[4L]] <- NULL
        for (i in seq_along(code)) if (typeof(code[[i]]) %in% c("language", "pairlist"))
            code[[i]] <- without_text(code[[i]])
        code
    }
    names <- sprintf(".main%d", seq_along(expressions))
    for (i in seq_along(expressions)) {
        # It gives up its name first, and with that what it was evaluated to.
        release <- bquote(.Internal(remove(.(names[i]), .AutoloadEnv, FALSE)))
        block <- call("{", release, without_text(expressions[[i]]))
        attr(block, "srcref") <- places[c(i, i, i)]
        .Internal(delayedAssign(names[i], block, globalenv(), .AutoloadEnv))
    }
    writeLines(names, script)
    unlink(script)

    # R has said what is wrong; this adds where. R then leaves the functions under way, and
    # ends since there is nothing more that it is to do at an error.
    options(error = as.call(list(function() {
        calls <- sys.calls()
        for (i in rev(seq_along(calls))) {
            place <- attr(calls[[i]], "srcref")
            if (is.null(place)) next
            call <- if (i < length(calls)) paste0(i, ": ", deparse(calls[[i]], nlines = 1L)[1L])
            where <- paste0(attr(place, "srcfile")$filename, "#", place[1L])
            cat(paste(c(call, "at", where), collapse = " "), "\n", sep = "", file = stderr())
        }
        options(error = NULL)
    })))
}, new.env(parent = baseenv()))
rm(package)
