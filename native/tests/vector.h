/* Access to the golden frames by name and key. */
#ifndef VECTOR_H
#define VECTOR_H

#include "check.h"
#include "vectors.h"

static inline const struct vector *vector(const char *name) {
  for (size_t i = 0; i < VECTORS; i++)
    if (strcmp(vectors[i].name, name) == 0) return &vectors[i];
  fprintf(stderr, "no vector is called %s\n", name);
  abort();
}

static inline const struct vector_value *vector_value(const struct vector *v, const char *key) {
  for (const struct vector_value *value = v->body; value->key != NULL; value++)
    if (strcmp(value->key, key) == 0) return value;
  return NULL;
}

static inline int64_t vector_number(const struct vector *v, const char *key) {
  const struct vector_value *value = vector_value(v, key);
  if (value != NULL && value->text == NULL) return value->number;
  fprintf(stderr, "%s has no number %s\n", v->name, key);
  abort();
}

/* The text, "" where the vector has none. */
static inline const char *vector_text(const struct vector *v, const char *key) {
  const struct vector_value *value = vector_value(v, key);
  return value != NULL && value->text != NULL ? value->text : "";
}

static inline size_t vector_text_size(const struct vector *v, const char *key) {
  const struct vector_value *value = vector_value(v, key);
  return value != NULL ? value->size : 0;
}

#endif
