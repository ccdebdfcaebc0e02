/* types.c - how long numbers are. */
#include <muster/types.h>

uint32_t muster_type_bytes(uint32_t type)
{
    switch (type) {
    case MUSTER_TYPE_I8:
    case MUSTER_TYPE_U8:
    case MUSTER_TYPE_BOOL:
        return 1;
    case MUSTER_TYPE_F16:
    case MUSTER_TYPE_I16:
    case MUSTER_TYPE_U16:
        return 2;
    case MUSTER_TYPE_F32:
    case MUSTER_TYPE_I32:
    case MUSTER_TYPE_U32:
        return 4;
    case MUSTER_TYPE_F64:
    case MUSTER_TYPE_I64:
    case MUSTER_TYPE_U64:
        return 8;
    }
    return 0;
}
