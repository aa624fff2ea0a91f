/* The part of Node-API (version 1 to 8) that the addon uses, declared here so that building it needs no headers. Signatures and constants:
 * https://nodejs.org/api/n-api.html. */
#ifndef OSTINATO_NODE_API_H
#define OSTINATO_NODE_API_H

#include <stddef.h>
#include <stdint.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);
typedef int napi_status;     /* 0: ok */
typedef int napi_typed_kind; /* 1: uint8 */

napi_status napi_get_cb_info(napi_env, napi_callback_info, size_t *count, napi_value *arguments, napi_value *receiver, void **data);
napi_status napi_get_value_uint32(napi_env, napi_value, uint32_t *result);
napi_status napi_get_typedarray_info(napi_env, napi_value, napi_typed_kind *, size_t *length, void **data, napi_value *buffer, size_t *offset);
napi_status napi_create_uint32(napi_env, uint32_t value, napi_value *result);
napi_status napi_create_string_utf8(napi_env, const char *text, size_t length, napi_value *result);
napi_status napi_create_function(napi_env, const char *name, size_t length, napi_callback, void *data, napi_value *result);
napi_status napi_set_named_property(napi_env, napi_value object, const char *name, napi_value value);
napi_status napi_throw_error(napi_env, const char *code, const char *message);

#endif
