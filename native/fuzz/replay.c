/* Runs a target over files, without libFuzzer: replay DIRECTORY or FILE … */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "target.h"

static int count;

static void play_file(const char *path) {
  FILE *file = fopen(path, "rb");
  struct stat found;
  if (file == NULL || fstat(fileno(file), &found) < 0) {
    perror(path);
    exit(2);
  }
  size_t size = (size_t)found.st_size;
  uint8_t *bytes = malloc(size + 1); /* with nothing behind it that could be read unnoticed */
  if (bytes == NULL || fread(bytes, 1, size, file) != size) {
    perror(path);
    exit(2);
  }
  fclose(file);
  uint8_t *exact = realloc(bytes, size > 0 ? size : 1);
  if (exact == NULL) abort();
  if (getenv("REPLAY_VERBOSE") != NULL) fprintf(stderr, "%s\n", path);
  LLVMFuzzerTestOneInput(exact, size);
  free(exact);
  count++;
}

static void play(const char *path) {
  DIR *directory = opendir(path);
  if (directory == NULL) {
    play_file(path);
    return;
  }
  for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char name[4096];
    if (entry->d_name[0] == '.') continue;
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    play_file(name);
  }
  closedir(directory);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) play(argv[i]);
  printf("%d inputs\n", count);
  return count > 0 ? 0 : 1;
}
