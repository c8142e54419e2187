/* os_windows.h - what the Windows files of this folder share: UTF-8 and UTF-16. */
#ifndef NER_OS_WINDOWS_H
#define NER_OS_WINDOWS_H

#include <wchar.h>
#include "base/os.h"

/* A string in the system's encoding and back, for NER_FREE; NULL: memory is out, or `s` is not
** UTF-8. Unpaired surrogates, which names of files may have, become U+FFFD. */
wchar_t *ner_windows_wide(const char *s);
char *ner_windows_utf8(const wchar_t *s);

#endif
